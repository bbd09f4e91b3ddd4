//! Tickets that name sessions kept here, instead of holding them: the library itself keeps no
//! sessions of TLS 1.3.

use std::ffi::c_int;
use std::slice;
use std::sync::OnceLock;

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{SslContext, SslContextBuilder, SslRef, SslVersion};
use boring_sys as c;
use foreign_types::ForeignTypeRef;
use tls_core::support::BoundedStore;

/// How long the name of a session is, in bytes.
const NAME: usize = 32;

/// The longest session that is kept, in bytes. What makes one longer is the client's chain. The
/// library sends two tickets at once, and fails for good if they and the data after them are more
/// than 64 KiB.
pub(crate) const LONGEST_SESSION: usize = 16 * 1024;

/// The sessions of one server context, serialised by the library, by the names in their tickets.
pub(crate) type TicketStore = BoundedStore<[u8; NAME], Vec<u8>>;

static METHOD: c::SSL_TICKET_AEAD_METHOD = c::SSL_TICKET_AEAD_METHOD {
    max_overhead: Some(max_overhead),
    seal: Some(seal),
    open: Some(open),
};

/// Has the sessions of a server kept in a store.
pub(crate) fn keep_tickets(
    context: &mut SslContextBuilder,
    store: TicketStore,
) -> Result<(), ErrorStack> {
    context.set_ex_data(index()?, store);
    // SAFETY: "aead_method must remain valid for the lifetime of ctx": it is static.
    unsafe { c::SSL_CTX_set_ticket_aead_method(context.as_ptr(), &raw const METHOD) };
    Ok(())
}

/// Where a context keeps its store.
fn index() -> Result<Index<SslContext, TicketStore>, ErrorStack> {
    static INDEX: OnceLock<Index<SslContext, TicketStore>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = SslContext::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

fn store(ssl: &SslRef) -> Option<&TicketStore> {
    ssl.ssl_context().ex_data(index().ok()?)
}

/// A name may be longer than the session, were that ever so short.
unsafe extern "C" fn max_overhead(_: *mut c::SSL) -> usize {
    NAME
}

/// Keeps a session and gives its name, padded to the length of the session: `open` is given no more
/// room than its ticket has. The name of one that is too long says nothing. It cannot panic, nor can
/// `open`: nothing may unwind into C.
unsafe extern "C" fn seal(
    ssl: *mut c::SSL,
    out: *mut u8,
    out_length: *mut usize,
    room: usize,
    session: *const u8,
    length: usize,
) -> c_int {
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    // SAFETY: "in_len bytes from in".
    let session = unsafe { slice::from_raw_parts(session, length) };
    let mut name = [0; NAME];
    let keeps = length <= LONGEST_SESSION;
    let size = if keeps { length.max(NAME) } else { NAME };
    let Some(store) = store(ssl).filter(|_| size <= room) else {
        return 0;
    };
    if boring::rand::rand_bytes(&mut name).is_err() {
        return 0;
    }
    if keeps {
        store.insert(name, session.to_vec());
    }
    // SAFETY: "writes, at most, max_out_len bytes to out": `size` is no more.
    unsafe { out.write_bytes(0, size) };
    // SAFETY: as above, and `size` is at least that of a name, which is memory of ours.
    unsafe { out.copy_from_nonoverlapping(name.as_ptr(), NAME) };
    // SAFETY: "puts the number of bytes written in *out_len".
    unsafe { out_length.write(size) };
    1
}

/// Gives back the session that a ticket names. One of TLS 1.3 is used once (RFC 8446 appendix C.4).
unsafe extern "C" fn open(
    ssl: *mut c::SSL,
    out: *mut u8,
    out_length: *mut usize,
    room: usize,
    ticket: *const u8,
    length: usize,
) -> c::ssl_ticket_aead_result_t {
    const IGNORED: c::ssl_ticket_aead_result_t =
        c::ssl_ticket_aead_result_t::ssl_ticket_aead_ignore_ticket;
    // SAFETY: the library runs the callback with the handle it works on, valid meanwhile.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    // SAFETY: "in_len bytes from in".
    let ticket = unsafe { slice::from_raw_parts(ticket, length) };
    let (Some(name), Some(store)) = (ticket.first_chunk(), store(ssl)) else {
        return IGNORED;
    };
    let once = ssl.version2() == Some(SslVersion::TLS1_3);
    let session = if once {
        store.take(name)
    } else {
        store.peek(name)
    };
    let Some(session) = session.filter(|session| session.len() <= room) else {
        return IGNORED;
    };
    // SAFETY: "writes, at most, max_out_len bytes of plaintext to out": the session is no longer.
    unsafe { out.copy_from_nonoverlapping(session.as_ptr(), session.len()) };
    // SAFETY: "puts the number of bytes written in *out_len".
    unsafe { out_length.write(session.len()) };
    c::ssl_ticket_aead_result_t::ssl_ticket_aead_success
}
