//! Each refusal has one reason, and says what to write instead.

use syn::{DeriveInput, parse_str};

fn refused(source: &str, derive: fn(DeriveInput) -> syn::Result<proc_macro2::TokenStream>) -> String {
    match derive(parse_str(source).expect("the source is an item")) {
        Ok(code) => panic!("`{source}` is not refused but derived: {code}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn shareable_says_what_to_write_instead() {
    for (source, advice) in [
        ("struct A { a: X }", "add `#[repr(C)]` to `A`"),
        ("#[repr(align(8))] struct A(X);", "add `#[repr(C)]` to `A`"),
        ("#[repr(C, packed)] struct A { a: X }", "remove `packed` from `A`"),
        ("#[repr(C)] #[repr(packed(2))] struct A { a: X }", "remove `packed` from `A`"),
        ("#[repr(C)] struct A<'a>(X<'a>);", "remove the lifetime"),
        ("#[repr(u8)] enum A { B }", "put it in a `commons::sync::Versioned`"),
        ("#[repr(C)] union A { b: X }", "use integer atomics"),
    ] {
        let message = refused(source, crate::shareable::expand);
        assert!(message.contains(advice), "{source}: {message}");
    }
}

#[test]
fn plain_says_what_to_write_instead() {
    for (source, advice) in [
        ("struct A { a: X }", "add `#[repr(C)]` to `A`"),
        ("#[repr(C, packed(4))] struct A { a: X }", "remove `packed` from `A`"),
        ("#[repr(C)] struct A<'a>(X<'a>);", "remove the lifetime"),
        ("enum A { B }", "add `#[repr(u8)]` to `A`"),
        ("#[repr(C)] enum A { B(X) }", "write `#[repr(C, u8)]` or `#[repr(u8)]` for `A`"),
        ("#[repr(u8)] enum A<'a> { B(X<'a>) }", "remove the lifetime"),
        ("#[repr(u8)] enum A {}", "no value"),
        ("#[repr(C)] union A { b: X }", "make `A` an enum"),
    ] {
        let message = refused(source, crate::plain::expand);
        assert!(message.contains(advice), "{source}: {message}");
    }
}
