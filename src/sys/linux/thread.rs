//! A thread that costs a page or two, for what every worker has.
//!
//! `int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)`,
//! <https://man7.org/linux/man-pages/man3/pthread_create.3.html>. A thread of `std` asks where its
//! stack is and makes room for signal handlers on it; for that it allocates, and its first allocation
//! makes a heap of its own.
//!
//! # Safety
//! Calls the C library with a function and its argument.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_void},
    io,
    mem::{self, MaybeUninit},
    ptr,
};

/// What a thread runs, as long as the program.
#[derive(Debug)]
pub(crate) struct Work<T: Sync + 'static> {
    pub(crate) name: &'static CStr,
    pub(crate) run: fn(&T),
    pub(crate) with: T,
}

/// Bytes of its stack besides what every thread needs, of which the kernel gives it what it uses. The
/// usual size is as large as the user who has set a limit likes.
const STACK: usize = 512 * 1024;

/// Runs `work` in a thread of its own, which nobody joins. A panic in it ends the process.
pub(crate) fn start<T: Sync>(work: &'static Work<T>) -> io::Result<()> {
    let result = |error| if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) };
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: the place for them is valid for writes.
    result(unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded and wrote them.
    let mut attributes = unsafe { attributes.assume_init() };
    let size = STACK + least_stack(&attributes);
    // SAFETY: they are initialised; a size that is refused changes nothing.
    let _ = unsafe { libc::pthread_attr_setstacksize(&mut attributes, size) };
    // SAFETY: as above.
    let _ = unsafe { libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED) };
    let mut thread = MaybeUninit::uninit();
    let argument = ptr::from_ref(work).cast_mut().cast();
    // SAFETY: the place for the thread's id is valid for writes, the attributes are initialised, and
    // `enter::<T>` gets what it takes: the address of a `Work<T>`.
    let started =
        result(unsafe { libc::pthread_create(thread.as_mut_ptr(), &attributes, enter::<T>, argument) });
    // SAFETY: they are initialised, and nothing uses them after this.
    unsafe { libc::pthread_attr_destroy(&mut attributes) };
    started
}

/// What every thread needs of its stack: the program's thread-locals lie there, however large they are.
fn least_stack(attributes: &libc::pthread_attr_t) -> usize {
    type Least = unsafe extern "C" fn(*const libc::pthread_attr_t) -> usize;
    let name = c"__pthread_get_minstack";
    // SAFETY: the name is a C string, and RTLD_DEFAULT is a handle that is always valid.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: null becomes None; else it is glibc's function of this name, which `std` calls as well.
    let least = unsafe { mem::transmute::<*mut c_void, Option<Least>>(found) };
    // SAFETY: initialised attributes, which it reads at most.
    least.map_or(0, |least| unsafe { least(attributes) })
}

extern "C" fn enter<T: Sync + 'static>(work: *mut c_void) -> *mut c_void {
    // SAFETY: `start` passes a `&'static Work<T>`, which threads may share since `T` is `Sync`.
    let work = unsafe { &*work.cast_const().cast::<Work<T>>() };
    // Without a name it does as well.
    let _ = rustix::thread::set_name(work.name);
    (work.run)(&work.with);
    ptr::null_mut()
}
