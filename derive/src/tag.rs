//! The tag of an enum: its type, its values, and where the fields begin behind it.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::{DataEnum, Error, Ident, Result, Type};

use crate::repr::Repr;

pub(crate) struct Tag<'a> {
    /// `u8`, by the path that no type of the user's can take.
    pub(crate) integer: TokenStream,
    /// All fields of all variants, if those of each variant form a structure of their own behind the
    /// tag (`repr(C, u8)`), rather than one that begins with the tag (`repr(u8)`).
    apart: Option<Vec<&'a Type>>,
}

impl<'a> Tag<'a> {
    pub(crate) fn of(ident: &Ident, repr: &Repr, data: &'a DataEnum) -> Result<Self> {
        if data.variants.is_empty() {
            return Err(Error::new(ident.span(), format!("`{ident}` has no value that could be copied")));
        }
        let Some(integer) = &repr.integer else {
            let message = match repr.c {
                true => format!(
                    "the tag of a `#[repr(C)]` enum has another size on another machine: \
                     write `#[repr(C, u8)]` or `#[repr(u8)]` for `{ident}`"
                ),
                false => format!("`Plain` needs a fixed layout: add `#[repr(u8)]` to `{ident}`"),
            };
            return Err(Error::new(ident.span(), message));
        };
        let types =
            || data.variants.iter().flat_map(|variant| &variant.fields).map(|field| &field.ty).collect();
        let integer = quote_spanned!(Span::mixed_site()=> ::core::primitive::#integer);
        Ok(Self { integer, apart: repr.c.then(types) })
    }

    /// How many bytes the tag has.
    pub(crate) fn size(&self) -> TokenStream {
        let integer = &self.integer;
        quote_spanned!(Span::mixed_site()=> ::core::mem::size_of::<#integer>())
    }

    /// The step from the tag to where the fields begin.
    pub(crate) fn skip_to_payload(&self) -> TokenStream {
        let Some(types) = &self.apart else { return TokenStream::new() };
        quote_spanned! {Span::mixed_site()=>
            walk.align_to(const { ::commons::derived::union_align(&[#(::core::mem::align_of::<#types>()),*]) });
        }
    }

    /// The tag of each variant: what it says, or one more than the variant before.
    ///
    /// The user's expression stands in a block of its own, where it can meet no name of ours.
    pub(crate) fn discriminants(&self, data: &DataEnum) -> Vec<TokenStream> {
        let here = Span::mixed_site();
        let integer = &self.integer;
        let (mut base, mut distance) = (quote_spanned!(here=> 0), 0u64);
        let mut all = Vec::new();
        for variant in &data.variants {
            if let Some((_, expression)) = &variant.discriminant {
                (base, distance) = (quote_spanned!(here=> #expression), 0);
            }
            // Wrapping, because the distance alone may be more than a signed tag holds.
            let steps = quote_spanned!(here=> #distance as #integer);
            all.push(quote_spanned!(here=> const { let base: #integer = #base; base.wrapping_add(#steps) }));
            distance += 1;
        }
        all
    }
}
