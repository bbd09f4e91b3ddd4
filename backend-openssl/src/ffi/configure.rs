//! Calls for configuration and facts: what the safe crate lacks, or leaves to its caller.

use std::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_uint, c_ulong};
use std::ptr;
use std::time::Duration;

use foreign_types_shared::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{SslCipher, SslCipherRef, SslContextBuilder, SslRef, SslSessionRef};
use openssl::stack::Stack;
use openssl_sys as sys;
use tls_core::iana::CipherSuite;

unsafe extern "C" {
    #[cfg(not(libressl))]
    fn SSL_CTX_set_post_handshake_auth(context: *mut sys::SSL_CTX, offered: c_int);
    fn SSL_CTX_set_timeout(context: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_get1_supported_ciphers(ssl: *mut sys::SSL) -> *mut sys::stack_st_SSL_CIPHER;
    /// The result is a `uint32_t` in OpenSSL, an `unsigned long` below 2^32 in LibreSSL.
    fn SSL_CIPHER_get_id(cipher: *const sys::SSL_CIPHER) -> u32;
    fn SSL_set_session_id_context(
        ssl: *mut sys::SSL,
        context: *const c_uchar,
        length: c_uint,
    ) -> c_int;
}

/// `SSL_CTRL_SET_MAX_CERT_LIST`, `SSL_CTRL_SET_DH_AUTO`, `SSL_CTRL_GET_NEGOTIATED_GROUP`:
/// commands behind macros of `<openssl/ssl.h>`.
const SET_MAX_CERT_LIST: c_int = 51;
const SET_DH_AUTO: c_int = 118;
const GET_NEGOTIATED_GROUP: c_int = 134;

/// `SSL_CTX_set_timeout`: how long the sessions of a server may be resumed.
pub(crate) fn set_session_timeout(context: &mut SslContextBuilder, timeout: Duration) {
    let seconds = c_long::try_from(timeout.as_secs()).unwrap_or(c_long::MAX);
    // SAFETY: the builder owns a valid SSL_CTX. SSL_CTX_set_timeout(3): "sets the timeout for
    // newly created sessions for ctx to t".
    unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
}

/// `SSL_CTX_set_max_cert_list`: in bytes.
pub(crate) fn set_max_certificate_list(context: &mut SslContextBuilder, bytes: usize) {
    context_ctrl(context, SET_MAX_CERT_LIST, bytes);
}

/// `SSL_CTX_set_dh_auto`: the library chooses parameters by the strength of the certificate.
pub(crate) fn choose_dh_parameters(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    match context_ctrl(context, SET_DH_AUTO, 1) {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// Both commands take a number and no pointer.
fn context_ctrl(context: &mut SslContextBuilder, command: c_int, argument: usize) -> c_long {
    let argument = c_long::try_from(argument).unwrap_or(c_long::MAX);
    // SAFETY: the builder owns a valid SSL_CTX. SSL_CTX_ctrl(3) is what the macros of the
    // commands above expand to, with a null pointer.
    unsafe { sys::SSL_CTX_ctrl(context.as_ptr(), command, argument, ptr::null_mut()) }
}

/// `SSL_get1_supported_ciphers`: what would be offered, most wanted first.
pub(crate) fn supported_cipher_suites(ssl: &mut SslRef) -> Result<Vec<CipherSuite>, ErrorStack> {
    // SAFETY: the reference is to a valid SSL. SSL_get_ciphers(3): returns a list that the
    // caller frees, or NULL.
    let list = unsafe { SSL_get1_supported_ciphers(ssl.as_ptr()) };
    if list.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: the list is ours to free, and its entries are static, as `SslCipher` has it.
    let list: Stack<SslCipher> = unsafe { Stack::from_ptr(list) };
    Ok(list.iter().map(cipher_suite).collect())
}

/// `SSL_CIPHER_get_id`, of which the lower half is the number on the wire.
pub(crate) fn cipher_suite(cipher: &SslCipherRef) -> CipherSuite {
    // SAFETY: the reference is to a valid SSL_CIPHER, which is static.
    let id = unsafe { SSL_CIPHER_get_id(cipher.as_ptr()) };
    let [_, _, high, low] = id.to_be_bytes();
    CipherSuite(u16::from_be_bytes([high, low]))
}

/// `SSL_get_negotiated_group`: a NID, or 0x01000000 and the group's number.
pub(crate) fn negotiated_group(ssl: &SslRef) -> c_long {
    // SAFETY: the reference is to a valid SSL. SSL_get_negotiated_group(3) is this command,
    // which changes nothing and takes a null pointer.
    unsafe { sys::SSL_ctrl(ssl.as_ptr(), GET_NEGOTIATED_GROUP, 0, ptr::null_mut()) }
}

/// `SSL_set_session`, before the handshake. The session is one of the same context.
pub(crate) fn set_session(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: `ClientStore` is filled and asked by the sessions of one context alone, which is
    // what the crate asks for; SSL_set_session(3) takes its own reference.
    unsafe { ssl.set_session(session) }
}

/// `SSL_set_session_id_context`: only sessions of this context are resumed.
#[cfg_attr(libressl, allow(dead_code, reason = "LibreSSL sees to it itself"))]
pub(crate) fn set_session_id_context(
    ssl: &mut SslRef,
    context: &[u8; 32],
) -> Result<(), ErrorStack> {
    // SAFETY: the pointer and length are those of the array, which
    // SSL_set_session_id_context(3) copies; 32 bytes are the most it takes.
    let done = unsafe { SSL_set_session_id_context(ssl.as_ptr(), context.as_ptr(), 32) };
    match done {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// `SSL_client_hello_get0_ext`: the body of the server name extension, if it is there. Only
/// inside the ClientHello callback.
#[cfg(not(libressl))]
pub(crate) fn client_hello_server_name(ssl: &SslRef) -> Option<&[u8]> {
    const SERVER_NAME: c_uint = 0;
    let (data, length) = client_hello_extension(ssl, SERVER_NAME)?;
    if data.is_null() {
        return None;
    }
    // SAFETY: SSL_CTX_set_client_hello_cb(3): the data belongs to the SSL and stays until the
    // callback returns, and the callback's borrow of the SSL bounds the slice.
    Some(unsafe { std::slice::from_raw_parts(data, length) })
}

/// Whether the ClientHello has an extension of this number. Only inside the ClientHello callback.
#[cfg(not(libressl))]
pub(crate) fn client_hello_has(ssl: &SslRef, extension: c_uint) -> bool {
    client_hello_extension(ssl, extension).is_some()
}

#[cfg(not(libressl))]
fn client_hello_extension(ssl: &SslRef, extension: c_uint) -> Option<(*const c_uchar, usize)> {
    let mut data: *const c_uchar = ptr::null();
    let mut length = 0;
    // SAFETY: the reference is to a valid SSL and both outputs are ours.
    // SSL_CTX_set_client_hello_cb(3): returns 1 with the extension's data, 0 otherwise, also
    // outside the callback.
    let found =
        unsafe { sys::SSL_client_hello_get0_ext(ssl.as_ptr(), extension, &mut data, &mut length) };
    (found == 1).then_some((data, length))
}

/// `SSL_CTX_set_post_handshake_auth`: clients offer to be asked after the handshake.
#[cfg(not(libressl))]
pub(crate) fn offer_post_handshake_auth(context: &mut SslContextBuilder) {
    // SAFETY: the builder owns a valid SSL_CTX. SSL_CTX_set_verify(3): "enable the Post-Handshake
    // Authentication extension to be added to the ClientHello".
    unsafe { SSL_CTX_set_post_handshake_auth(context.as_ptr(), 1) };
}

/// `ERR_reason_error_string`.
pub(crate) fn reason(code: c_ulong) -> Option<&'static str> {
    // SAFETY: any number may be asked for. ERR_error_string(3): a static string, or NULL.
    let text: *const c_char = unsafe { sys::ERR_reason_error_string(code) };
    if text.is_null() {
        return None;
    }
    // SAFETY: the string is static and ends in NUL.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}
