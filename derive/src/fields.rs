//! What both derives do with the fields and the generic parameters of a type.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Error, Expr, Fields, Generics, Ident, Member, Result, Type, parse_quote_spanned, spanned::Spanned,
};

/// Refuses a lifetime: what lives in shared memory holds no reference.
pub(crate) fn refuse_lifetimes(generics: &Generics, derive: &str) -> Result<()> {
    match generics.lifetimes().next() {
        Some(lifetime) => Err(Error::new_spanned(
            lifetime,
            format!(
                "`{derive}` types hold no reference, because an address means nothing to another process: \
                 remove the lifetime"
            ),
        )),
        None => Ok(()),
    }
}

/// Demands the derived trait of what each field consists of.
///
/// All of the demand has the span of the field's type, so that an error points there.
pub(crate) fn bound<'a>(generics: &mut Generics, types: impl Iterator<Item = &'a Type>, derive: &str) {
    for (element, _) in types.map(elements) {
        let derive = Ident::new(derive, element.span());
        let demand = parse_quote_spanned!(element.span()=> #element: ::commons::#derive);
        generics.make_where_clause().predicates.push(demand);
    }
}

/// The elements of a field: `T` and `[N, M]` for `[[T; M]; N]`, and `T` and `[]` for any other `T`.
pub(crate) fn elements(mut ty: &Type) -> (&Type, Vec<&Expr>) {
    let mut lens = Vec::new();
    loop {
        match ty {
            Type::Array(array) => {
                lens.push(&array.len);
                ty = &array.elem;
            }
            // A type that came through a `macro_rules!` is in an invisible group.
            Type::Group(group) => ty = &group.elem,
            Type::Paren(paren) => ty = &paren.elem,
            _ => return (ty, lens),
        }
    }
}

/// A pattern that names all fields, so that it stops compiling when it misses one, and the names
/// it gives them, which no name of the user's can meet.
pub(crate) fn pattern(path: &TokenStream, fields: &Fields) -> (TokenStream, Vec<Ident>) {
    let members: Vec<Member> = fields.members().collect();
    let names: Vec<Ident> =
        (0..members.len()).map(|i| format_ident!("field_{i}", span = Span::mixed_site())).collect();
    (quote!(#path { #(#members: #names),* }), names)
}
