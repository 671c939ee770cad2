//! `#[derive(Shareable)]`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Data, DeriveInput, Error, GenericParam, Generics, Ident, Member, Result, Type, ext::IdentExt};

use crate::{
    fields::{bound, elements, pattern, refuse_lifetimes},
    repr::Repr,
};

pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream> {
    let here = Span::mixed_site();
    let DeriveInput { attrs, ident, mut generics, data, .. } = input;
    let fields = match data {
        Data::Struct(data) => data.fields,
        Data::Enum(_) => {
            return Err(refusal(
                &ident,
                "an enum",
                "an integer atomic, or put it in a `commons::sync::Versioned`",
            ));
        }
        Data::Union(_) => return Err(refusal(&ident, "a union", "integer atomics")),
    };
    Repr::of(&attrs)?.check_struct(&ident, "Shareable")?;
    refuse_lifetimes(&generics, "Shareable")?;

    let types: Vec<&Type> = fields.iter().map(|field| &field.ty).collect();
    let name = type_name(&ident, &generics, &types);
    let rows = fields.members().zip(&types).map(|(member, ty)| {
        let name = match &member {
            Member::Named(name) => name.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        };
        quote_spanned! {here=>
            all.extend(::commons::Field::nested::<#ty>(#name, ::core::mem::offset_of!(Self, #member)));
        }
    });
    let (pattern, names) = pattern(&quote!(Self), &fields);
    bound(&mut generics, types.iter().copied(), "Shareable");
    let (impl_generics, arguments, conditions) = generics.split_for_impl();

    // SAFETY (of the code below):
    // - Any bytes are a value, and all of them may change behind `&Self`: that holds for each field
    //   (the `where` clause demands it, `reset` names every field), and padding has no value.
    // - No address: no field holds one. No `Drop`: no field needs it, and `HasNoDrop` makes an
    //   `impl Drop` for the type itself a conflict.
    // - The layout is fixed: `check_struct` has seen to that.
    // - `reset` resets every field; `fields` asks the compiler for the offsets.
    Ok(quote_spanned! {here=>
        #[automatically_derived]
        #[allow(deprecated)]
        unsafe impl #impl_generics ::commons::Shareable for #ident #arguments #conditions {
            fn type_name() -> ::std::string::String {
                #name
            }

            fn fields() -> ::std::vec::Vec<::commons::Field> {
                #[allow(unused_mut)]
                let mut all = ::std::vec::Vec::new();
                #(#rows)*
                all
            }

            fn reset(&mut self) {
                let #pattern = self;
                #(<#types as ::commons::Shareable>::reset(#names);)*
            }
        }

        #[automatically_derived]
        impl #impl_generics ::commons::derived::HasNoDrop for #ident #arguments #conditions {}
    })
}

fn refusal(ident: &Ident, what: &str, advice: &str) -> Error {
    let message = format!(
        "{what} cannot be `Shareable`, because another process may write any bytes while `&{ident}` is in use: \
         use {advice}"
    );
    Error::new(ident.span(), message)
}

/// `Census`, or `Census<AtomicU64, 4>` with the names of the arguments.
fn type_name(ident: &Ident, generics: &Generics, fields: &[&Type]) -> TokenStream {
    let here = Span::mixed_site();
    let ident = ident.unraw().to_string();
    let arguments: Vec<TokenStream> = generics
        .params
        .iter()
        .filter_map(|param| match param {
            GenericParam::Lifetime(_) => None,
            GenericParam::Const(param) => Some(param.ident.to_token_stream()),
            GenericParam::Type(param) => {
                let name = &param.ident;
                let is_field =
                    |ty: &&Type| matches!(elements(ty).0, Type::Path(path) if path.path.is_ident(name));
                Some(if fields.iter().any(is_field) {
                    quote_spanned!(here=> <#name as ::commons::Shareable>::type_name())
                } else {
                    // Known to be `Shareable` is only what is a field: this is the `T` of a `Versioned<T>`.
                    quote_spanned!(here=> ::commons::derived::short_type_name::<#name>())
                })
            }
        })
        .collect();
    if arguments.is_empty() {
        return quote_spanned!(here=> ::std::string::String::from(#ident));
    }
    let format = format!("{ident}<{}>", vec!["{}"; arguments.len()].join(", "));
    quote_spanned!(here=> ::std::format!(#format, #(#arguments),*))
}
