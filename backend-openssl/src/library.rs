//! Which library this is, and in what LibreSSL differs from OpenSSL: one table and a few functions
//! for each of the two. Nothing else tells them apart, but `ffi` for calls that LibreSSL lacks.

use std::ffi::c_int;

use openssl::ssl::SslOptions;
use tls_core::{BuildInfo, Support};

pub(crate) use this::{
    TRAITS, before_the_first_context, issue_no_tickets, meaning_here, offer_post_handshake_auth,
    requested_server_name, takes_requests, verify_peers, watch_selected_protocol,
    watch_server_name,
};

/// What one library has and the other lacks.
pub(crate) struct Traits {
    /// Resumption in TLS 1.3.
    pub(crate) tls13_resumption: Support,
    /// Telling the negotiated group.
    pub(crate) negotiated_group: Support,
    /// Starting a KeyUpdate.
    pub(crate) key_update: Support,
    /// Client certificates asked for after a TLS 1.3 handshake.
    pub(crate) post_handshake_auth: Support,
    /// Suspending a client until its caller has decided about the server.
    pub(crate) suspended_client: Support,
    /// The same for a server.
    pub(crate) suspended_server: Support,
    /// Suspending a client until it is given a certificate.
    pub(crate) late_credentials: Support,
    /// The extended master secret of TLS 1.2.
    pub(crate) extended_master_secret: Support,
    /// The channel binding `tls-unique`.
    pub(crate) tls_unique: Support,
    /// Whether only the message callback, and not the info callback, sees all alerts that are sent.
    pub(crate) messages_tell_alerts: bool,
    /// `SSL_OP_NO_RENEGOTIATION`.
    pub(crate) no_renegotiation: SslOptions,
    /// `SSL_OP_ALLOW_CLIENT_RENEGOTIATION`, where servers refuse their clients' without.
    pub(crate) client_renegotiation: SslOptions,
    /// What a TLS 1.2 server says when it refuses a client's certificate:
    /// `SSL_R_CERTIFICATE_VERIFY_FAILED`, or LibreSSL's `SSL_R_NO_CERTIFICATE_RETURNED`.
    pub(crate) client_refused: c_int,
    /// `ERR_R_MALLOC_FAILURE`.
    pub(crate) out_of_memory: c_int,
    /// `ERR_R_INTERNAL_ERROR`.
    pub(crate) internal_error: c_int,
    /// `ERR_R_ASN1_LIB`.
    pub(crate) undecodable: c_int,
}

/// The name and version the library gives itself.
pub(crate) fn build_info() -> BuildInfo {
    let text = openssl::version::version();
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or("OpenSSL");
    let version = words.next().unwrap_or("unknown");
    BuildInfo::new(name, version)
}

#[cfg(not(libressl))]
mod this {
    use std::ffi::c_int;

    use openssl::error::ErrorStack;
    use openssl::ssl::{SslContextBuilder, SslOptions, SslRef, SslVerifyMode};
    use tls_core::iana::AlertDescription;
    use tls_core::{ErrorKind, Support};

    use super::Traits;
    pub(crate) use crate::client_hello::{
        requested as requested_server_name, takes_requests, watch as watch_server_name,
    };
    pub(crate) use crate::ffi::offer_post_handshake_auth;
    use crate::verify::is_same_peer;

    /// `ERR_RFLAG_FATAL` and `ERR_RFLAG_COMMON`.
    const FATAL: c_int = 1 << 18;
    const COMMON: c_int = 2 << 18;

    pub(crate) const TRAITS: Traits = Traits {
        tls13_resumption: Support::Native,
        negotiated_group: Support::Native,
        key_update: Support::Native,
        post_handshake_auth: Support::Native,
        suspended_client: Support::Native,
        suspended_server: Support::Emulated,
        late_credentials: Support::Native,
        extended_master_secret: Support::Native,
        tls_unique: Support::Native,
        messages_tell_alerts: false,
        no_renegotiation: SslOptions::NO_RENEGOTIATION,
        client_renegotiation: SslOptions::from_bits_retain(0x100),
        client_refused: 134,
        out_of_memory: 256 | FATAL | COMMON,
        internal_error: 259 | FATAL | COMMON,
        undecodable: 13 | COMMON,
    };

    /// OpenSSL needs nothing.
    pub(crate) fn before_the_first_context() -> Result<(), ErrorStack> {
        Ok(())
    }

    /// Makes a server issue no TLS 1.3 tickets, neither stateless nor stateful.
    pub(crate) fn issue_no_tickets(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        context.set_num_tickets(0)
    }

    /// OpenSSL looks at all of a chain.
    pub(crate) fn verify_peers(context: &mut SslContextBuilder, mode: SslVerifyMode) {
        context.set_verify_callback(mode, |good, peer| good && is_same_peer(peer));
    }

    /// OpenSSL compares what a server selects with what was offered.
    pub(crate) fn watch_selected_protocol(_: &mut SslRef, _: &[Vec<u8>]) -> Result<(), ErrorStack> {
        Ok(())
    }

    /// OpenSSL's reasons mean the same wherever they are met.
    pub(crate) fn meaning_here(
        _: &SslRef,
        _: Option<AlertDescription>,
        _: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        None
    }
}

#[cfg(libressl)]
mod this {
    use std::ffi::c_int;

    use openssl::error::ErrorStack;
    use openssl::ssl::{
        NameType, SslContext, SslContextBuilder, SslOptions, SslRef, SslVerifyMode,
    };
    use openssl::x509::{X509PurposeId, X509StoreContext, X509StoreContextRef, X509VerifyResult};
    use tls_core::iana::AlertDescription;
    use tls_core::{ErrorKind, SharedParameter, Support};

    use tls_libssl::{BINDING, chain_fault};

    use super::Traits;
    use crate::ffi;
    pub(crate) use crate::ffi::watch_selected_protocol;
    use crate::verify::is_same_peer;

    pub(crate) const TRAITS: Traits = Traits {
        tls13_resumption: Support::Unsupported("LibreSSL does not resume TLS 1.3 sessions"),
        negotiated_group: Support::Unsupported("LibreSSL does not tell the negotiated group"),
        key_update: Support::Unsupported("LibreSSL cannot start a KeyUpdate"),
        post_handshake_auth: Support::Unsupported(
            "LibreSSL has no authentication after the handshake: its functions for it do nothing",
        ),
        suspended_client: Support::Unsupported("LibreSSL does not wait for a verdict"),
        suspended_server: Support::Unsupported("LibreSSL does not wait for a verdict"),
        late_credentials: Support::Unsupported("LibreSSL does not wait for a certificate"),
        extended_master_secret: Support::Unsupported(
            "LibreSSL does not have the extended master secret",
        ),
        tls_unique: Support::Unsupported(
            "LibreSSL does not have the extended master secret, without which it proves nothing",
        ),
        messages_tell_alerts: true,
        no_renegotiation: SslOptions::from_bits_retain(0x0004_0000),
        client_renegotiation: SslOptions::empty(),
        client_refused: 178,
        out_of_memory: 65,
        internal_error: 68,
        undecodable: 13,
    };

    /// `SSL_state_string` after the handshake.
    const ESTABLISHED: &str = "SSLOK ";
    /// `SSL_state_string` of a server that is about to answer a ClientHello.
    const WRITING_SERVER_HELLO: &str = "3WSH_A";
    /// `SSL_R_UNKNOWN`.
    const UNKNOWN: c_int = 999;

    /// LibreSSL frees what a context holds for its callbacks only if a place for such things was
    /// known when the context was made.
    pub(crate) fn before_the_first_context() -> Result<(), ErrorStack> {
        SslContext::new_ex_index::<()>().map(|_| ())
    }

    /// Not called: clients that would offer it are refused.
    pub(crate) fn offer_post_handshake_auth(_: &mut SslContextBuilder) {}

    /// A server asks nobody.
    pub(crate) fn takes_requests(_: &SslRef) -> bool {
        false
    }

    /// LibreSSL never issues TLS 1.3 tickets.
    pub(crate) fn issue_no_tickets(_: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        Ok(())
    }

    /// LibreSSL looks at nothing in a trust anchor. It calls back for each fault that it sees, which
    /// stays one, and once more for the chain that it takes.
    ///
    /// The callback captures nothing: the library forgets to free what the first context keeps.
    pub(crate) fn verify_peers(context: &mut SslContextBuilder, mode: SslVerifyMode) {
        context.set_verify_callback(mode, |good, peer| {
            good && is_sound(peer) && is_same_peer(peer)
        });
    }

    fn is_sound(peer: &mut X509StoreContextRef) -> bool {
        let Some(chain) = shown(peer) else {
            peer.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
            return false;
        };
        let fault = chain_fault(&chain);
        if let Some(fault) = fault {
            ffi::fail(peer, fault);
        }
        fault.is_none()
    }

    /// The chain that is taken, and what for; there is one whenever the library calls back.
    fn shown(peer: &X509StoreContextRef) -> Option<Vec<ffi::Shown<'_>>> {
        let ssl = peer.ex_data(X509StoreContext::ssl_idx().ok()?)?;
        let purpose = match ssl.is_server() {
            true => X509PurposeId::SSL_CLIENT,
            false => X509PurposeId::SSL_SERVER,
        };
        let shown = |certificate| ffi::Shown {
            certificate,
            purpose,
        };
        Some(peer.chain()?.iter().map(shown).collect())
    }

    /// LibreSSL binds sessions to the server name itself, and keeps the name of the ClientHello.
    pub(crate) fn watch_server_name(
        _: &mut SslContextBuilder,
        _: [u8; BINDING],
    ) -> Result<(), ErrorStack> {
        Ok(())
    }

    /// What a failure means where LibreSSL gives no reason but the alert it `sent`, or one that
    /// stands for several things: `reason` is the first of the library `ERR_LIB_SSL` or another.
    pub(crate) fn meaning_here(
        ssl: &SslRef,
        sent: Option<AlertDescription>,
        reason: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        // It takes a few lengths more than it has room for.
        if sent.is_none() && reason == Some(TRAITS.internal_error) && ffi::reads_body(ssl) {
            return Some((
                ErrorKind::Protocol,
                "the peer sent a record that is too long",
            ));
        }
        let state = ssl.state_string();
        let (unshared, sentence) = match (sent, reason) {
            (Some(AlertDescription::NO_APPLICATION_PROTOCOL), _) => (
                SharedParameter::ApplicationProtocol,
                "the client offers only application protocols that this server does not have",
            ),
            // It was the version in the header of a record.
            (Some(AlertDescription::PROTOCOL_VERSION), None) if state != ESTABLISHED => {
                return Some((ErrorKind::Protocol, "the peer does not speak TLS"));
            }
            (Some(AlertDescription::PROTOCOL_VERSION), Some(_)) if state != ESTABLISHED => (
                SharedParameter::Version,
                "the peer speaks no protocol version that is enabled here",
            ),
            // A HelloRetryRequest needs a group to ask for; all else that fails there says why.
            (None, Some(UNKNOWN)) if state == WRITING_SERVER_HELLO => (
                SharedParameter::CipherSuite,
                "the client offers only groups that this server does not have",
            ),
            _ => return None,
        };
        Some((ErrorKind::NoSharedParameters(unshared), sentence))
    }

    /// The name the client asked for, in lower case.
    pub(crate) fn requested_server_name(ssl: &SslRef) -> Option<String> {
        ssl.servername(NameType::HOST_NAME)
            .map(str::to_ascii_lowercase)
    }
}
