//! `#[derive(Plain)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Fields, Result, Type};

use crate::{
    fields::{bound, elements, pattern, refuse_lifetimes},
    repr::Repr,
    tag::Tag,
};

/// The fields that a value may have: those of a struct, or of one variant of an enum.
struct Shape<'a> {
    /// `Self`, or `Self::Variant`.
    path: TokenStream,
    /// The value of the tag, if there is one.
    discriminant: Option<TokenStream>,
    fields: &'a Fields,
}

pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream> {
    let here = Span::mixed_site();
    let DeriveInput { attrs, ident, mut generics, data, .. } = input;
    let repr = Repr::of(&attrs)?;
    let (tag, shapes) = match &data {
        Data::Struct(data) => {
            repr.check_struct(&ident, "Plain")?;
            (None, vec![Shape { path: quote!(Self), discriminant: None, fields: &data.fields }])
        }
        Data::Enum(data) => {
            let tag = Tag::of(&ident, &repr, data)?;
            let shapes = data.variants.iter().zip(tag.discriminants(data)).map(|(variant, discriminant)| {
                let name = &variant.ident;
                Shape { path: quote!(Self::#name), discriminant: Some(discriminant), fields: &variant.fields }
            });
            let shapes = shapes.collect();
            (Some(tag), shapes)
        }
        Data::Union(_) => {
            let message = format!(
                "a union cannot be `Plain`, because nothing tells which field is live: \
                 make `{ident}` an enum with `#[repr(u8)]`"
            );
            return Err(Error::new(ident.span(), message));
        }
    };
    refuse_lifetimes(&generics, "Plain")?;

    let head = tag.as_ref().map_or_else(|| quote_spanned!(here=> 0), Tag::size);
    let payload = tag.as_ref().map_or_else(TokenStream::new, Tag::skip_to_payload);
    let check = has_valid_bits(tag.as_ref(), &head, &payload, &shapes);
    let arms = shapes.iter().map(|shape| clear_arm(shape, &payload));

    let types = shapes.iter().flat_map(|shape| shape.fields).map(|field| &field.ty);
    let is_generic = generics.type_params().next().is_some();
    bound(&mut generics, types, "Plain");
    if is_generic {
        // A parameter that only a marker mentions would else leave open whether the whole is `Copy`.
        generics.make_where_clause().predicates.push(syn::parse_quote!(Self: ::core::marker::Copy + 'static));
    }
    let (impl_generics, arguments, conditions) = generics.split_for_impl();

    // SAFETY (of the code below):
    // - A value is valid if its tag is one of the discriminants, and each field of that variant is
    //   valid. The tag is the first thing in an enum of a primitive representation (RFC 2195).
    // - Every byte that is no tag and lies in no field of the live variant is cleared; each field
    //   clears its own. The pattern names all fields and the tuple states their types, so that
    //   what the walk assumes is what the compiler knows.
    // - No address and no `Drop`: no field has one, and the type is `Copy`.
    Ok(quote_spanned! {here=>
        #[automatically_derived]
        #[allow(deprecated)]
        unsafe impl #impl_generics ::commons::Plain for #ident #arguments #conditions {
            #[inline]
            unsafe fn has_valid_bits(bits: *const Self) -> ::core::primitive::bool {
                #check
            }

            #[inline]
            unsafe fn clear_padding(value: *mut Self) {
                let mut walk = ::commons::derived::Walk::new(value.cast::<::core::primitive::u8>(), #head);
                // SAFETY: the caller promises a valid value.
                match unsafe { &*value } {
                    #(#arms)*
                }
                // SAFETY: all fields of the live variant have been walked.
                unsafe { walk.clear_rest(::core::mem::size_of::<Self>()) }
            }
        }
    })
}

fn has_valid_bits(
    tag: Option<&Tag>,
    head: &TokenStream,
    payload: &TokenStream,
    shapes: &[Shape<'_>],
) -> TokenStream {
    let here = Span::mixed_site();
    let check = |shape: &Shape<'_>| {
        let fields = shape.fields.iter().map(|field| {
            let (element, count) = run(&field.ty);
            // SAFETY: the fields come in the order of their declaration; the caller promises the rest.
            quote_spanned!(here=> && unsafe { walk.has_valid_bits::<#element>(#count) })
        });
        quote_spanned! {here=> true #(#fields)* }
    };
    let begin = quote_spanned! {here=>
        #[allow(unused_mut, unused_variables)]
        let mut walk = ::commons::derived::Walk::new(bits.cast_mut().cast::<::core::primitive::u8>(), #head);
        #payload
    };
    let Some(tag) = tag else {
        let check = shapes.iter().map(check);
        return quote_spanned!(here=> #begin #(#check)*);
    };
    let integer = &tag.integer;
    let checks = shapes.iter().map(|shape| {
        let (discriminant, check) = (&shape.discriminant, check(shape));
        quote_spanned!(here=> if tag == #discriminant { return #check; })
    });
    // SAFETY: the tag is the first thing in the value; the caller promises readable, initialised bytes.
    quote_spanned! {here=>
        let tag = unsafe { bits.cast::<#integer>().read() };
        #begin
        #(#checks)*
        false
    }
}

/// The arm of `clear_padding` for one variant.
fn clear_arm(shape: &Shape<'_>, payload: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let (pattern, names) = pattern(&shape.path, shape.fields);
    let types: Vec<&Type> = shape.fields.iter().map(|field| &field.ty).collect();
    let runs = types.iter().map(|ty| {
        let (element, count) = run(ty);
        // SAFETY: the fields come in the order of their declaration; the caller promises the rest.
        quote_spanned!(here=> unsafe { walk.clear_padding::<#element>(#count) };)
    });
    quote_spanned! {here=>
        #pattern => {
            let _: (#(&#types,)*) = (#(#names,)*);
            #payload
            #(#runs)*
        }
    }
}

/// A field as a run of elements, since an array of a derived type is not `Plain` by itself.
fn run(ty: &Type) -> (&Type, TokenStream) {
    let (element, lens) = elements(ty);
    (element, quote_spanned!(Span::mixed_site()=> 1usize #(* (#lens))*))
}
