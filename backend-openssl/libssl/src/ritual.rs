//! The one way into the library (K8).

use std::ffi::{c_int, c_ulong};
use std::io;

use crate::bio::{Link, Moved};
use crate::classify::{Class, Function, Returned, classify};
use crate::ffi::LibSsl;

/// How many errors of one failure are read; the library itself keeps 16.
const MAX_CODES: usize = 16;

/// What a call came to, and the error queue it left, oldest first.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) class: Class,
    /// Empty unless the library failed.
    pub(crate) codes: Vec<c_ulong>,
    /// The library waits, and may do so only because a system call was interrupted: errno says so,
    /// which is an earlier call's if the library made none. Means something only if the library
    /// itself uses the descriptor.
    pub(crate) interrupted: bool,
    /// The library fails and gives no reason, where it would answer 0 at the end of its transport.
    /// Means something only if the library itself uses the descriptor.
    pub(crate) speechless: bool,
}

/// Calls the library once: clears the thread's error queue, calls, saves errno, asks for the error,
/// looks at the queue, classifies, and takes what is in the queue. Afterwards the queue is empty.
#[inline]
pub(crate) fn enter<E: LibSsl>(
    link: &mut Link<E>,
    function: Function,
    input: &mut [u8],
    output: &mut [u8],
    call: impl FnOnce(&mut E) -> c_int,
) -> Moved<Outcome> {
    link.engine().clear_errors();
    let moved = link.call(input, output, |engine| {
        let ret = call(engine);
        // Before anything else can change it.
        (ret, errno())
    });
    let (ret, errno) = moved.result;
    let engine = link.engine();
    let succeeded = ret > 0 || (ret == 0 && function == Function::Shutdown);
    let class = classify(Returned {
        function,
        ret,
        ssl_error: if succeeded { 0 } else { engine.error_of(ret) },
        errno,
        oldest: engine.peek_error(),
        shutdown_state: if succeeded {
            0
        } else {
            engine.shutdown_state()
        },
    });
    let codes = match class {
        Class::Failed => drain(engine),
        _ => Vec::new(),
    };
    if engine.peek_error() != 0 {
        engine.clear_errors();
    }
    Moved {
        result: Outcome {
            class,
            codes,
            interrupted: matches!(class, Class::WantRead | Class::WantWrite)
                && is_interrupted(errno),
            speechless: class == Class::EndOfTransport && ret < 0,
        },
        consumed: moved.consumed,
        produced: moved.produced,
        panicked: moved.panicked,
    }
}

#[cold]
fn drain<E: LibSsl>(engine: &E) -> Vec<c_ulong> {
    std::iter::repeat_with(|| engine.pop_error())
        .take_while(|&code| code != 0)
        .take(MAX_CODES)
        .collect()
}

#[inline]
fn is_interrupted(errno: c_int) -> bool {
    io::Error::from_raw_os_error(errno).kind() == io::ErrorKind::Interrupted
}

#[inline]
fn errno() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
