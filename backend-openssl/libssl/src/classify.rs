//! What a call into the library came to: one pure table.

use std::ffi::{c_int, c_ulong};

/// `SSL_ERROR_*`, the same numbers in the three libraries.
pub(crate) mod ssl_error {
    use std::ffi::c_int;

    pub(crate) const SSL: c_int = 1;
    pub(crate) const WANT_READ: c_int = 2;
    pub(crate) const WANT_WRITE: c_int = 3;
    pub(crate) const WANT_X509_LOOKUP: c_int = 4;
    pub(crate) const SYSCALL: c_int = 5;
    pub(crate) const ZERO_RETURN: c_int = 6;
    /// OpenSSL alone; in BoringSSL the number is of a callback that is never set.
    pub(crate) const WANT_RETRY_VERIFY: c_int = 12;
    /// BoringSSL alone.
    pub(crate) const WANT_CERTIFICATE_VERIFY: c_int = 16;
}

/// `SSL_RECEIVED_SHUTDOWN`.
pub(crate) const RECEIVED_SHUTDOWN: c_int = 2;

/// `SSL_SENT_SHUTDOWN`.
pub(crate) const SENT_SHUTDOWN: c_int = 1;

/// Which function was called, as far as its return value is read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// `SSL_do_handshake`, `SSL_read`, `SSL_write`: above 0 is success.
    Ordinary,
    /// `SSL_shutdown`: 0 says that the peer's close_notify is outstanding.
    Shutdown,
}

/// What is known after a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Returned {
    pub(crate) function: Function,
    pub(crate) ret: c_int,
    /// Of `SSL_get_error`; not asked after success.
    pub(crate) ssl_error: c_int,
    /// Saved right after the call; means something only if the library itself uses the descriptor.
    pub(crate) errno: c_int,
    /// The oldest entry of the error queue, which was empty before the call; 0 if it still is.
    pub(crate) oldest: c_ulong,
    /// Of `SSL_get_shutdown`.
    pub(crate) shutdown_state: c_int,
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It succeeded, with this many bytes where it counts them.
    Done(usize),
    /// The library wants to read from the transport.
    WantRead,
    /// The library wants to write to the transport.
    WantWrite,
    /// The library wants to be told which certificate to present.
    WantCertificate,
    /// The library wants to be told whether the peer's chain is good.
    WantVerdict,
    /// The peer's close_notify was seen.
    CloseNotify,
    /// The library met the end of its transport.
    EndOfTransport,
    /// The operating system's error.
    Os(c_int),
    /// The library failed; the error queue may say why.
    Failed,
    /// The library waits for something that no configuration here makes it wait for: the number of
    /// `SSL_get_error`.
    Unexpected(c_int),
}

/// Reads the answer of a call.
pub(crate) fn classify(returned: Returned) -> Class {
    let Returned {
        function,
        ret,
        ssl_error,
        errno,
        oldest,
        shutdown_state,
    } = returned;
    if let Ok(count @ 1..) = usize::try_from(ret) {
        return Class::Done(count);
    }
    if ret == 0 && function == Function::Shutdown {
        return Class::Done(0);
    }
    match ssl_error {
        ssl_error::WANT_READ => Class::WantRead,
        ssl_error::WANT_WRITE => Class::WantWrite,
        ssl_error::WANT_X509_LOOKUP => Class::WantCertificate,
        ssl_error::WANT_RETRY_VERIFY | ssl_error::WANT_CERTIFICATE_VERIFY => Class::WantVerdict,
        ssl_error::ZERO_RETURN if shutdown_state & RECEIVED_SHUTDOWN != 0 => Class::CloseNotify,
        // LibreSSL answers so when its transport ends in some states.
        ssl_error::ZERO_RETURN => Class::EndOfTransport,
        ssl_error::SSL => Class::Failed,
        // With an entry in the queue too: that is the same error number, as a reason.
        ssl_error::SYSCALL if ret < 0 && errno != 0 => Class::Os(errno),
        ssl_error::SYSCALL if oldest != 0 => Class::Failed,
        // Since 3.2 OpenSSL answers so to a close_notify that follows user_canceled, whose number
        // SSL_get_error still sees.
        ssl_error::SYSCALL if ret == 0 && shutdown_state & RECEIVED_SHUTDOWN != 0 => {
            Class::CloseNotify
        }
        ssl_error::SYSCALL => Class::EndOfTransport,
        other => Class::Unexpected(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPIPE: c_int = 32;
    const REASON: c_ulong = 0x0a00_0126;

    #[test]
    fn the_table() {
        use Function::{Ordinary, Shutdown};
        // function, ret, SSL_get_error, errno, oldest error, shutdown state
        let table = [
            ((Ordinary, 5, 0, 0, 0, 0), Class::Done(5)),
            ((Ordinary, 1, 0, EPIPE, 0, 0), Class::Done(1)),
            ((Shutdown, 1, 0, 0, 0, 3), Class::Done(1)),
            ((Shutdown, 0, 5, 0, 0, 1), Class::Done(0)),
            ((Shutdown, -1, 3, 0, 0, 1), Class::WantWrite),
            ((Shutdown, -1, 1, 0, REASON, 0), Class::Failed),
            ((Ordinary, -1, 2, 11, 0, 0), Class::WantRead),
            ((Ordinary, -1, 3, 11, 0, 0), Class::WantWrite),
            ((Ordinary, 0, 6, 0, 0, 2), Class::CloseNotify),
            ((Ordinary, 0, 6, 0, 0, 3), Class::CloseNotify),
            ((Ordinary, 0, 6, 0, 0, 0), Class::EndOfTransport),
            ((Ordinary, 0, 6, 0, 0, 1), Class::EndOfTransport),
            ((Ordinary, -1, 1, 0, REASON, 0), Class::Failed),
            ((Ordinary, -1, 1, 0, 0, 0), Class::Failed),
            ((Ordinary, 0, 1, 0, REASON, 2), Class::Failed),
            ((Ordinary, -1, 5, EPIPE, 0, 0), Class::Os(EPIPE)),
            ((Ordinary, -1, 5, EPIPE, REASON, 0), Class::Os(EPIPE)),
            ((Ordinary, -1, 5, 0, REASON, 0), Class::Failed),
            ((Ordinary, -1, 5, 0, 0, 0), Class::EndOfTransport),
            ((Ordinary, 0, 5, EPIPE, 0, 0), Class::EndOfTransport),
            ((Ordinary, 0, 5, 0, 0, 0), Class::EndOfTransport),
            ((Ordinary, 0, 5, 0, 0, 2), Class::CloseNotify),
            ((Ordinary, -1, 5, 0, 0, 2), Class::EndOfTransport),
            ((Ordinary, 0, 5, 0, REASON, 2), Class::Failed),
            ((Ordinary, -1, 5, EPIPE, 0, 2), Class::Os(EPIPE)),
            ((Ordinary, -1, 4, 0, 0, 0), Class::WantCertificate),
            ((Ordinary, -1, 12, 0, 0, 0), Class::WantVerdict),
            ((Ordinary, -1, 16, 0, 0, 0), Class::WantVerdict),
            ((Ordinary, -1, 9, 0, 0, 0), Class::Unexpected(9)),
            ((Ordinary, -1, 0, 0, 0, 0), Class::Unexpected(0)),
        ];
        for ((function, ret, ssl_error, errno, oldest, shutdown_state), expected) in table {
            let returned = Returned {
                function,
                ret,
                ssl_error,
                errno,
                oldest,
                shutdown_state,
            };
            assert_eq!(classify(returned), expected, "{returned:?}");
        }
    }
}
