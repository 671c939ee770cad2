//! A worker under `ptrace`: run to its next marker, or one instruction further.
//!
//! `long ptrace(enum __ptrace_request op, pid_t pid, void *addr, void *data)`,
//! <https://man7.org/linux/man-pages/man2/ptrace.2.html>. A marker is a signal that the worker sends
//! to itself: the tracer sees it before it is delivered, and does not let it through.
//!
//! # Safety
//! `ptrace`, `tgkill` and `alarm` by number: the calls are made on the test's own workers, and none
//! of them touches memory of the test.

#![allow(unsafe_code)]

use std::{fs, io, marker::PhantomData, ptr, thread, time::Instant};

use libc::{SIGALRM, SIGTRAP, SIGUSR1, c_int, c_long, c_void, pid_t};

use super::harness::LONG;

/// What a worker may take from its start to its end; then its own alarm ends it.
const PATIENCE_IN_SECONDS: u32 = 60;

/// A worker that this thread traces. All calls come from one thread, as the kernel wants it; when
/// that thread ends, by a failed test too, the kernel kills the worker.
pub(crate) struct Traced {
    pid: pid_t,
    one_thread: PhantomData<*const ()>,
}

/// Where a worker is after one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// One instruction or system call further.
    Stepped,
    /// At its next marker.
    Marker,
}

impl Traced {
    /// Begins to trace a child of this process.
    pub(crate) fn seize(pid: u32) -> io::Result<Self> {
        let traced = Self { pid: pid.try_into().unwrap(), one_thread: PhantomData };
        traced.request(libc::PTRACE_SEIZE, libc::PTRACE_O_EXITKILL as usize)?;
        Ok(traced)
    }

    /// Waits until the worker, which has not stopped yet, is at its first marker.
    pub(crate) fn run_to_marker(&self) {
        assert_eq!(self.stop(), SIGUSR1, "the signal that stopped worker {} is no marker", self.pid);
    }

    /// Lets the stopped worker run until it sleeps on a word, and stops it there. Its next step returns
    /// when it is woken, or its time is over.
    pub(crate) fn run_to_sleep(&self) {
        let end = Instant::now() + LONG;
        self.request(libc::PTRACE_CONT, 0).unwrap();
        loop {
            if self.is_in_a_wait() {
                self.request(libc::PTRACE_INTERRUPT, 0).unwrap();
                assert_eq!(self.stop(), SIGTRAP, "what stopped worker {} is no interruption", self.pid);
                if self.is_in_a_wait() {
                    return;
                }
                self.request(libc::PTRACE_CONT, 0).unwrap();
            }
            assert!(Instant::now() < end, "worker {} does not fall asleep", self.pid);
            thread::yield_now();
        }
    }

    fn is_in_a_wait(&self) -> bool {
        let call = fs::read_to_string(format!("/proc/{}/syscall", self.pid)).unwrap();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        number == Some(libc::SYS_futex) || number == Some(libc::SYS_futex_waitv)
    }

    /// Lets the stopped worker run one instruction.
    pub(crate) fn step(&self) -> Stop {
        self.resume(libc::PTRACE_SINGLESTEP)
    }

    /// Lets the stopped worker run to the next beginning or end of a system call.
    pub(crate) fn step_to_call(&self) -> Stop {
        self.resume(libc::PTRACE_SYSCALL)
    }

    fn resume(&self, request: libc::c_uint) -> Stop {
        self.request(request, 0).unwrap();
        match self.stop() {
            SIGTRAP => Stop::Stepped,
            SIGUSR1 => Stop::Marker,
            other => panic!("signal {other} stopped worker {} between two instructions", self.pid),
        }
    }

    fn request(&self, request: libc::c_uint, data: usize) -> io::Result<()> {
        // SAFETY: these two requests read and write no memory of this process.
        let answer: c_long =
            unsafe { libc::ptrace(request, self.pid, ptr::null_mut::<c_void>(), data as *mut c_void) };
        if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for the next stop; the signal that caused it. A worker that does not stop gets the signal
    /// of its alarm, which is a stop too.
    fn stop(&self) -> c_int {
        let mut status = 0;
        // SAFETY: writes one integer.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) };
        let error = io::Error::last_os_error();
        assert_eq!(pid, self.pid, "worker {} has ended by itself: {error}", self.pid);
        assert!(libc::WIFSTOPPED(status), "worker {} has ended by itself: status {status:#x}", self.pid);
        let signal = libc::WSTOPSIG(status);
        assert_ne!(signal, SIGALRM, "worker {} took longer than {PATIENCE_IN_SECONDS} s", self.pid);
        signal
    }
}

/// The worker's side: a place at which it stops for its tracer.
pub(crate) struct Marker {
    pid: c_long,
    tid: c_long,
}

impl Marker {
    /// Waits until the calling worker is traced.
    pub(crate) fn when_traced() -> Self {
        // SAFETY: sets a timer.
        unsafe { libc::alarm(PATIENCE_IN_SECONDS) };
        while fs::read_to_string("/proc/self/status").unwrap().contains("\nTracerPid:\t0\n") {
            thread::yield_now();
        }
        // SAFETY: returns a number.
        let pid = unsafe { libc::getpid() };
        // SAFETY: returns a number.
        let tid = unsafe { libc::gettid() };
        Self { pid: pid.into(), tid: tid.into() }
    }

    /// Stops here.
    #[inline]
    pub(crate) fn hit(&self) {
        // Not `raise`, which has a hundred instructions more.
        // SAFETY: a signal to the calling thread, which its tracer takes.
        unsafe { libc::syscall(libc::SYS_tgkill, self.pid, self.tid, SIGUSR1) };
    }
}
