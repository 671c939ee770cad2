//! What the `#[repr]` attributes of a type say.

use syn::{Attribute, Ident, Result, Token, ext::IdentExt, parenthesized, parse::ParseStream};

const INTEGERS: [&str; 10] = ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize"];

#[derive(Default)]
pub(crate) struct Repr {
    pub(crate) c: bool,
    pub(crate) transparent: bool,
    /// The word `packed`, for the error that refuses it.
    pub(crate) packed: Option<Ident>,
    /// The integer type of an enum's tag.
    pub(crate) integer: Option<Ident>,
}

impl Repr {
    pub(crate) fn of(attrs: &[Attribute]) -> Result<Self> {
        let mut repr = Self::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
            attr.parse_args_with(|input: ParseStream<'_>| repr.parse(input))?;
        }
        Ok(repr)
    }

    fn parse(&mut self, input: ParseStream<'_>) -> Result<()> {
        while !input.is_empty() {
            let word = input.call(Ident::parse_any)?;
            match word.to_string().as_str() {
                "C" => self.c = true,
                "transparent" => self.transparent = true,
                "packed" => self.packed = Some(word),
                name if INTEGERS.contains(&name) => self.integer = Some(word),
                _ => {} // `align(N)` changes no offset, and the compiler refuses what it does not know
            }
            if input.peek(syn::token::Paren) {
                let argument;
                parenthesized!(argument in input);
                argument.parse::<proc_macro2::TokenStream>()?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    /// Refuses a struct whose layout is not fixed, or whose fields may be misaligned.
    pub(crate) fn check_struct(&self, ident: &Ident, derive: &str) -> Result<()> {
        if let Some(packed) = &self.packed {
            let message = format!("`{derive}` needs aligned fields: remove `packed` from `{ident}`");
            return Err(syn::Error::new(packed.span(), message));
        }
        if !(self.c || self.transparent) {
            let message = format!("`{derive}` needs a fixed layout: add `#[repr(C)]` to `{ident}`");
            return Err(syn::Error::new(ident.span(), message));
        }
        Ok(())
    }
}
