//! A function pointer that can travel: its distance from the start of the program's image.
//!
//! Address randomisation loads the same image elsewhere in every process, but as a whole. So a
//! distance within the image names the same code in every process of the same build.
//!
//! # Safety
//! Turns distances back into function pointers. The proof stands at [`Function::call`].

#![allow(unsafe_code)]

use std::{mem, ptr};

use crate::{
    error::{Error, ErrorKind, Result},
    message::{self, Message},
    process::outcome::{Kind, Outcome},
    segment,
    sys::image::{self, Build, Image},
};

/// A `fn(A) -> R` of the main program, with the code that knows `A` and `R`, without these types.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function {
    /// INVARIANT: the distance of a `fn(A) -> R` for some `A`, `R` in the main image of `build`.
    pub(super) function: u64,
    /// INVARIANT: the distance of `run::<A, R>` for the same `A`, `R` in the same image.
    pub(super) runner: u64,
    pub(super) build: Build,
}

type Runner = unsafe fn(usize, Vec<u8>, &dyn Fn()) -> Outcome;

impl Function {
    /// `f` as something that can travel. Both invariants hold by the types.
    pub(super) fn of<A: Message, R: Message>(f: fn(A) -> R) -> Result<Self> {
        let image = main_image()?;
        let runner: Runner = run::<A, R>;
        let distance = |address: usize| image.distance(address).ok_or_else(|| foreign::<A, R>(address));
        Ok(Self { function: distance(f as usize)?, runner: distance(runner as usize)?, build: image.build() })
    }

    /// Runs the function on encoded arguments, and `received` when they are decoded; `Err` if it is not
    /// of this very program.
    ///
    /// # Safety
    /// - `self` holds what [`Function::of`] made, in this process or in another.
    pub(super) unsafe fn call(self, arguments: Vec<u8>, received: &dyn Fn()) -> Result<Outcome, String> {
        let image = main_image().map_err(|error| error.to_string())?;
        if self.build != image.build() {
            return Err("it is another build of the program than the one that called".into());
        }
        let address = |distance| image.address(distance).ok_or("the function is not in this program");
        let (function, runner) = (address(self.function)?, address(self.runner)?);
        let runner = ptr::with_exposed_provenance::<()>(runner);
        // SAFETY: the caller promises that `of` made both distances, in an image with this build id
        // or of this very file, so the same bytes lie at the same distance here, inside code, as checked. `of`
        // takes the runner's from a `Runner`, hence a `Runner` is what is at this address.
        let runner = unsafe { mem::transmute::<*const (), Runner>(runner) };
        // SAFETY: by the invariants the runner is `run::<A, R>` and the other address, found in the
        // same way, is that of a `fn(A) -> R` with the same types.
        Ok(unsafe { runner(function, arguments, received) })
    }
}

/// Decodes the arguments, says so, calls the function, encodes the result.
///
/// # Safety
/// - `function` is the address of a `fn(A) -> R` of this program.
unsafe fn run<A: Message, R: Message>(function: usize, arguments: Vec<u8>, received: &dyn Fn()) -> Outcome {
    let function = ptr::with_exposed_provenance::<()>(function);
    // SAFETY: the caller promises that this is the address of such a function.
    let function = unsafe { mem::transmute::<*const (), fn(A) -> R>(function) };
    let decoded = segment::receiving(|| message::decode::<A>(&arguments), received);
    drop(arguments);
    match decoded.map(function).map(|result| encode_pinned(&result)) {
        Ok(Ok(bytes)) => Outcome { kind: Kind::Returned, bytes },
        Ok(Err(error)) => Outcome::sentence(Kind::Encode, error),
        Err(error) => Outcome::sentence(Kind::Decode, error),
    }
}

/// The result as bytes. What it refers to stays alive until the parent has it.
fn encode_pinned<R: Message>(result: &R) -> Result<Vec<u8>> {
    segment::pinning(|| message::encode(result))
}

fn main_image() -> Result<&'static Image> {
    Image::main().map_err(|error| Error::os("cannot find the running program in memory", error))
}

fn foreign<A, R>(address: usize) -> Error {
    let (a, r) = (std::any::type_name::<A>(), std::any::type_name::<R>());
    let place = image::file_of(address).map_or(String::new(), |file| format!(" but of {file}"));
    Error::new(
        ErrorKind::InvalidInput,
        format!(
            "this fn({a}) -> {r} cannot run in another process: it is not code of the main program{place}; \
             wrap it in a function of the program"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_travels_and_another_build_does_not() {
        let travelling = Function::of(|(a, b): (u8, u8)| a + b).unwrap();
        let arguments = message::encode(&(2u8, 3u8)).unwrap();
        // SAFETY: `travelling` comes from `Function::of`.
        let outcome = unsafe { travelling.call(arguments, &|| ()) }.unwrap();
        assert_eq!((outcome.kind, outcome.bytes), (Kind::Returned, vec![5]));
        let other = Function { build: [0; 32], ..travelling };
        // SAFETY: the distances come from `Function::of`, and the build stops the call.
        assert!(unsafe { other.call(Vec::new(), &|| ()) }.is_err_and(|why| why.contains("another build")));
    }
}
