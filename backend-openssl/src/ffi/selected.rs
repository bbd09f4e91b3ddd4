//! The application protocol that a server selects, which LibreSSL does not compare with what was
//! offered.

use std::ffi::{c_int, c_uchar, c_void};
use std::sync::OnceLock;

use foreign_types_shared::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef};
use openssl_sys as sys;
use tls_libssl::{alpn_wire_format, selects_offered};

/// What `<openssl/tls1.h>` casts in `SSL_set_tlsext_debug_callback`.
type ExtensionCallback = unsafe extern "C" fn(
    ssl: *mut sys::SSL,
    is_client: c_int,
    kind: c_int,
    body: *const c_uchar,
    length: c_int,
    argument: *mut c_void,
);

unsafe extern "C" {
    /// The callback is that of the only command it is called with.
    fn SSL_callback_ctrl(
        ssl: *mut sys::SSL,
        command: c_int,
        callback: Option<ExtensionCallback>,
    ) -> std::ffi::c_long;
}

/// `SSL_CTRL_SET_TLSEXT_DEBUG_CB`: a command behind a macro of `<openssl/tls1.h>`.
const SET_EXTENSION_CALLBACK: c_int = 56;
/// The type of the extension: RFC 7301 section 3.1.
const APPLICATION_LAYER_PROTOCOL_NEGOTIATION: c_int = 16;

/// Has a client refuse a protocol that is none of these.
pub(crate) fn watch_selected_protocol(
    ssl: &mut SslRef,
    offered: &[Vec<u8>],
) -> Result<(), ErrorStack> {
    if offered.is_empty() {
        return Ok(());
    }
    ssl.set_ex_data(offered_index()?, alpn_wire_format(offered));
    // SAFETY: the reference is to a valid SSL. SSL_set_tlsext_debug_callback() is this command
    // (<openssl/tls1.h>), and calls back with "SSL *, int, int, unsigned char *, int, void *".
    unsafe { SSL_callback_ctrl(ssl.as_ptr(), SET_EXTENSION_CALLBACK, Some(on_extension)) };
    Ok(())
}

/// Where a client keeps the list it offers, as it is on the wire.
fn offered_index() -> Result<Index<Ssl, Vec<u8>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Vec<u8>>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

/// The library calls back before it looks at the extension itself, and cannot be told to refuse it.
/// But it refuses, with `unsupported_extension`, one that answers no offer: so the offer is taken
/// back. It cannot panic: nothing may unwind into C.
unsafe extern "C" fn on_extension(
    ssl: *mut sys::SSL,
    _is_client: c_int,
    kind: c_int,
    body: *const c_uchar,
    length: c_int,
    _argument: *mut c_void,
) {
    let length = usize::try_from(length).unwrap_or(0);
    if kind != APPLICATION_LAYER_PROTOCOL_NEGOTIATION || body.is_null() {
        return;
    }
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    let Some(offered) = offered_index().ok().and_then(|index| ssl.ex_data(index)) else {
        return;
    };
    // SAFETY: the body of the extension has this length (<openssl/tls1.h>), and lasts as long as
    // the callback runs.
    let body = unsafe { std::slice::from_raw_parts(body, length) };
    if !selects_offered(offered, body) {
        let _ = ssl.set_alpn_protos(&[]);
    }
}
