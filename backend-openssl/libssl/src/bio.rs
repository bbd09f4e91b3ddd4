//! The engine's BIO: callbacks over memory that one call lends.
//!
//! [`Link`] holds the engine and the [`Wire`] its BIO points to, together, so that a call into the
//! engine (which may run the callbacks) and a look at the wire both need `&mut Link`: the two never
//! overlap. The callbacks do no I/O and never meet the end of the transport.

#![allow(unsafe_code, reason = "callbacks of C, and the memory lent to them")]

use std::ffi::{c_char, c_int, c_long, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::slice;

use tls_core::{Error, ErrorKind, Operation, Result};

use crate::ffi::{BioRetry, LibSsl};
use crate::wire::{Wire, WireRead};

/// `BIO_CTRL_FLUSH`, `BIO_CTRL_DUP`: answered with 1; other controls with 0, "not known".
const BIO_CTRL_FLUSH: c_int = 11;
const BIO_CTRL_DUP: c_int = 12;

/// What the callbacks reach through `BIO_get_data`.
struct Shared {
    wire: Wire,
    input: Lent,
    output: Lent,
    panicked: bool,
}

/// A slice lent for one call, and how much of it has been used.
struct Lent {
    start: *mut u8,
    length: usize,
    used: usize,
}

impl Lent {
    const NONE: Self = Self {
        start: ptr::null_mut(),
        length: 0,
        used: 0,
    };

    fn of(bytes: &mut [u8]) -> Self {
        Self {
            start: bytes.as_mut_ptr(),
            length: bytes.len(),
            used: 0,
        }
    }

    /// What has not been used yet.
    fn rest(&mut self) -> &mut [u8] {
        if self.used >= self.length {
            return &mut [];
        }
        // SAFETY: `used < length`, so the pointer stays within the slice that was lent.
        let start = unsafe { self.start.add(self.used) };
        // SAFETY: `Link::call` lends slices that it borrows exclusively until it takes them back,
        // and nothing else makes a `Lent` that is not empty; `&mut self` keeps this view single.
        unsafe { slice::from_raw_parts_mut(start, self.length - self.used) }
    }
}

/// What a call into the engine gave, and the bytes its BIO moved.
#[derive(Debug)]
pub(crate) struct Moved<R> {
    pub(crate) result: R,
    /// Taken from the input, in bytes.
    pub(crate) consumed: usize,
    /// Placed in the output, in bytes; what did not fit is pending.
    pub(crate) produced: usize,
    /// Whether a callback panicked.
    pub(crate) panicked: bool,
}

/// An engine and the memory its BIO works on. The engine goes first when both are dropped.
pub(crate) struct Link<E> {
    engine: E,
    shared: SharedBox,
    attached: bool,
}

/// Owns the memory by a raw pointer: a `Box` would claim to be the only way to reach it.
struct SharedBox(NonNull<Shared>);

// SAFETY: the memory is owned and has no tie to a thread; the pointers in it are null except while
// `Link::call` runs, and are used on the thread that runs it, or on one that it waits for.
unsafe impl Send for SharedBox {}

impl Drop for SharedBox {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `Box::into_raw` in `Link::new`, and is freed only here.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<E: LibSsl> Link<E> {
    /// Takes an engine that has no transport yet.
    pub(crate) fn new(engine: E, wire: Wire) -> Self {
        let shared = Box::new(Shared {
            wire,
            input: Lent::NONE,
            output: Lent::NONE,
            panicked: false,
        });
        Self {
            engine,
            shared: SharedBox(NonNull::from(Box::leak(shared))),
            attached: false,
        }
    }

    /// Gives the engine the BIO of this link as its transport.
    pub(crate) fn attach(&mut self) -> Result<()> {
        let data = self.shared.0.as_ptr().cast::<c_void>();
        // SAFETY: the memory is freed after the engine, which is dropped first.
        if unsafe { self.engine.attach(data) } {
            self.attached = true;
            return Ok(());
        }
        Err(Error::new(ErrorKind::Backend, Operation::CreateSession)
            .with_detail("the library cannot make a BIO"))
    }

    /// Whether the engine has this transport, and no descriptor that it reads by itself.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached
    }

    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    /// For calls that do not reach the BIO; the others go through [`Self::call`].
    pub(crate) fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    pub(crate) fn wire(&self) -> &Wire {
        // SAFETY: the memory is valid while `self` is, and changes only under `&mut self`.
        let shared = unsafe { self.shared.0.as_ref() };
        &shared.wire
    }

    pub(crate) fn wire_mut(&mut self) -> &mut Wire {
        &mut self.shared().wire
    }

    fn shared(&mut self) -> &mut Shared {
        // SAFETY: as in `wire`; callbacks run only within `call`, which holds no such reference
        // meanwhile.
        unsafe { self.shared.0.as_mut() }
    }

    /// Calls the engine, lending its BIO `input` to read from and `output` to write to.
    #[inline]
    pub(crate) fn call<R>(
        &mut self,
        input: &mut [u8],
        output: &mut [u8],
        function: impl FnOnce(&mut E) -> R,
    ) -> Moved<R> {
        let shared = self.shared();
        shared.input = Lent::of(input);
        shared.output = Lent::of(output);
        let result = function(&mut self.engine);
        let shared = self.shared();
        let consumed = std::mem::replace(&mut shared.input, Lent::NONE).used;
        let produced = std::mem::replace(&mut shared.output, Lent::NONE).used;
        Moved {
            result,
            consumed,
            produced,
            panicked: std::mem::take(&mut shared.panicked),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Link<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

/// The read callback, for `BIO_meth_set_read`.
///
/// # Safety
///
/// `bio` is a BIO that [`LibSsl::attach`] made, and `buffer` has room for `length` bytes.
pub unsafe extern "C" fn bio_read<E: LibSsl>(
    bio: *mut E::Bio,
    buffer: *mut c_char,
    length: c_int,
) -> c_int {
    // SAFETY: the library runs this callback with its own BIO, as the caller promises.
    unsafe { E::bio_retry(bio, None) };
    let Some(length) = usize::try_from(length).ok().filter(|&length| length > 0) else {
        return 0;
    };
    // SAFETY: as above.
    let data = unsafe { E::bio_data(bio) }.cast::<Shared>();
    // SAFETY: `attach` was given this pointer by `Link`, whose memory outlives the engine and its
    // BIO, and to which no reference exists while `Link::call` runs the engine.
    let Some(shared) = (unsafe { data.as_mut() }) else {
        return -1;
    };
    // SAFETY: "BIO_read attempts to read len bytes and places the data in buf" (BIO_read(3)): the
    // buffer has room for them. It may not be initialised; it is only written to.
    let buffer =
        unsafe { slice::from_raw_parts_mut(buffer.cast::<std::mem::MaybeUninit<u8>>(), length) };
    let given = catch_unwind(AssertUnwindSafe(|| {
        let given = shared.wire.give(shared.input.rest(), buffer);
        if let WireRead::Input(taken) = given {
            shared.input.used += taken;
        }
        given
    }));
    match given {
        Ok(WireRead::Input(given) | WireRead::Injected(given)) => {
            c_int::try_from(given).unwrap_or(-1)
        }
        Ok(WireRead::Nothing) => {
            // SAFETY: as above.
            unsafe { E::bio_retry(bio, Some(BioRetry::Read)) };
            -1
        }
        Err(_) => {
            shared.panicked = true;
            -1
        }
    }
}

/// The write callback, for `BIO_meth_set_write`.
///
/// # Safety
///
/// `bio` is a BIO that [`LibSsl::attach`] made, and `buffer` holds `length` bytes.
pub unsafe extern "C" fn bio_write<E: LibSsl>(
    bio: *mut E::Bio,
    buffer: *const c_char,
    length: c_int,
) -> c_int {
    // SAFETY: the library runs this callback with its own BIO, as the caller promises.
    unsafe { E::bio_retry(bio, None) };
    let Some(count) = usize::try_from(length).ok().filter(|&count| count > 0) else {
        return 0;
    };
    // SAFETY: as above.
    let data = unsafe { E::bio_data(bio) }.cast::<Shared>();
    // SAFETY: as in `bio_read`.
    let Some(shared) = (unsafe { data.as_mut() }) else {
        return -1;
    };
    // SAFETY: "BIO_write attempts to write len bytes from buf" (BIO_write(3)).
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), count) };
    let placed = catch_unwind(AssertUnwindSafe(|| {
        let placed = shared.wire.take(bytes, shared.output.rest())?;
        shared.output.used += placed;
        Some(())
    }));
    match placed {
        Ok(Some(())) => length,
        Ok(None) => {
            // SAFETY: as above.
            unsafe { E::bio_retry(bio, Some(BioRetry::Write)) };
            -1
        }
        Err(_) => {
            shared.panicked = true;
            -1
        }
    }
}

/// The control callback, for `BIO_meth_set_ctrl`: there is nothing to flush.
///
/// # Safety
///
/// None: no argument is looked at but the command.
pub unsafe extern "C" fn bio_ctrl<E: LibSsl>(
    _bio: *mut E::Bio,
    command: c_int,
    _number: c_long,
    _pointer: *mut c_void,
) -> c_long {
    c_long::from(matches!(command, BIO_CTRL_FLUSH | BIO_CTRL_DUP))
}
