//! Whether memory ran out: an allocation that failed here, and processes that the kernel killed.
//!
//! Rust aborts when an allocation fails, and leaves nothing but a line on stderr that would tell it from
//! other aborts. But the aborting thread still stands in `handle_alloc_error`, and a handler of SIGABRT can
//! look at its stack. `_Unwind_Backtrace` and its kin: <https://itanium-cxx-abi.github.io/cxx-abi/abi-eh.html>
//! (level I), which Rust's standard library links. The kernel's counter: `oom_kill` in `/proc/vmstat`.
//!
//! # Safety
//! Sets a handler, which walks its own stack and stores to an atomic.

#![allow(unsafe_code)]

use std::{
    alloc::{Layout, handle_alloc_error},
    ffi::{c_int, c_void},
    fs, io,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst},
};

/// Processes that the kernel has killed for lack of memory since it started.
pub(crate) fn kills() -> io::Result<u64> {
    let counters = fs::read_to_string("/proc/vmstat")?;
    let count = counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    count.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Where to tell; null: nowhere.
static FLAG: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// The process that tells; a forked child does not.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// From now on `flag` becomes 1 before this process aborts because an allocation has failed.
pub(crate) fn tell(flag: &'static AtomicU64) {
    OWNER.store(std::process::id(), SeqCst);
    FLAG.store(ptr::from_ref(flag).cast_mut(), SeqCst);
    // SAFETY: a structure of numbers, a set and an optional pointer, for all of which zeroes are a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = aborted as *const () as usize;
    // SAFETY: the action holds a handler of ours, and a null old one is not written.
    unsafe { libc::sigaction(libc::SIGABRT, &action, ptr::null_mut()) };
}

/// What the unwinder knows of a frame.
#[repr(C)]
struct Frame([u8; 0]);

unsafe extern "C" {
    fn _Unwind_Backtrace(look: extern "C" fn(*mut Frame, *mut c_void) -> c_int, found: *mut c_void) -> c_int;
    fn _Unwind_GetIP(frame: *mut Frame) -> usize;
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

const GO_ON: c_int = 0;
const END: c_int = 5;

extern "C" fn aborted(signal: c_int) {
    let mut found = false;
    // SAFETY: `look` takes what it is given as what it is: a frame, and `found`, which outlives the call.
    unsafe { _Unwind_Backtrace(look, (&raw mut found).cast()) };
    // SAFETY: null, or from a reference that lives as long as the process.
    let flag = unsafe { FLAG.load(SeqCst).as_ref() };
    if let Some(flag) = flag.filter(|_| found && std::process::id() == OWNER.load(SeqCst)) {
        flag.store(1, SeqCst);
    }
    // The signal has its usual effect, also if nobody called `abort`.
    // SAFETY: SIG_DFL is a disposition and no function.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: allowed in a handler; comes when this handler returns.
    unsafe { libc::raise(signal) };
}

extern "C" fn look(frame: *mut Frame, found: *mut c_void) -> c_int {
    let failing: fn(Layout) -> ! = handle_alloc_error;
    // SAFETY: a frame that the unwinder gives to this function.
    let address = unsafe { _Unwind_GetIP(frame) };
    // A call that never returns may be a function's last instruction: then the address is behind it.
    let before = ptr::without_provenance_mut(address.wrapping_sub(1));
    // SAFETY: looks the address up in tables, and does not follow it.
    if unsafe { _Unwind_FindEnclosingFunction(before) }.addr() != failing as usize {
        return GO_ON;
    }
    // SAFETY: the `found` above, which nobody else uses meanwhile.
    unsafe { *found.cast::<bool>() = true };
    END
}
