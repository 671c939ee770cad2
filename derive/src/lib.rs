//! The derives of `commons`.

use proc_macro::TokenStream;

/// Implements `commons::Shareable`.
#[proc_macro_derive(Shareable)]
pub fn shareable(_: TokenStream) -> TokenStream {
    TokenStream::new()
}

/// Implements `commons::Plain`.
#[proc_macro_derive(Plain)]
pub fn plain(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
