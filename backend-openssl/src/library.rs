//! Which library this is, and everything in which LibreSSL differs from OpenSSL: one table and a
//! few functions for each of the two, and the only place of the crate that tells them apart.

use std::ffi::c_int;

use openssl::ssl::SslOptions;
use tls_core::{BuildInfo, Support};

pub(crate) use this::{
    TRAITS, issue_no_tickets, meaning_of_own_alert, requested_server_name, watch_server_name,
};

/// What one library has and the other lacks.
pub(crate) struct Traits {
    /// Resumption in TLS 1.3.
    pub(crate) tls13_resumption: Support,
    /// Telling the negotiated group.
    pub(crate) negotiated_group: Support,
    /// Whether only the message callback, and not the info callback, sees all alerts that are sent.
    pub(crate) messages_tell_alerts: bool,
    /// `SSL_OP_NO_RENEGOTIATION`.
    pub(crate) no_renegotiation: SslOptions,
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

/// How long a session id context is, in bytes: the most either library takes.
pub(crate) const BINDING: usize = 32;

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
    use openssl::ssl::{SslContextBuilder, SslOptions, SslRef};
    use tls_core::iana::AlertDescription;
    use tls_core::{ErrorKind, Support};

    use super::Traits;
    pub(crate) use crate::client_hello::{
        requested as requested_server_name, watch as watch_server_name,
    };

    /// `ERR_RFLAG_FATAL` and `ERR_RFLAG_COMMON`.
    const FATAL: c_int = 1 << 18;
    const COMMON: c_int = 2 << 18;

    pub(crate) const TRAITS: Traits = Traits {
        tls13_resumption: Support::Native,
        negotiated_group: Support::Native,
        messages_tell_alerts: false,
        no_renegotiation: SslOptions::NO_RENEGOTIATION,
        client_refused: 134,
        out_of_memory: 256 | FATAL | COMMON,
        internal_error: 259 | FATAL | COMMON,
        undecodable: 13 | COMMON,
    };

    /// Makes a server issue no TLS 1.3 tickets, neither stateless nor stateful.
    pub(crate) fn issue_no_tickets(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        context.set_num_tickets(0)
    }

    /// OpenSSL gives a reason of its own for whatever it refuses.
    pub(crate) fn meaning_of_own_alert(
        _: &SslRef,
        _: AlertDescription,
        _: bool,
    ) -> Option<ErrorKind> {
        None
    }
}

#[cfg(libressl)]
mod this {
    use openssl::error::ErrorStack;
    use openssl::ssl::{NameType, SslContextBuilder, SslOptions, SslRef};
    use tls_core::iana::AlertDescription;
    use tls_core::{ErrorKind, SharedParameter, Support};

    use super::{BINDING, Traits};

    pub(crate) const TRAITS: Traits = Traits {
        tls13_resumption: Support::Unsupported("LibreSSL does not resume TLS 1.3 sessions"),
        negotiated_group: Support::Unsupported("LibreSSL does not tell the negotiated group"),
        messages_tell_alerts: true,
        no_renegotiation: SslOptions::from_bits_retain(0x0004_0000),
        client_refused: 178,
        out_of_memory: 65,
        internal_error: 68,
        undecodable: 13,
    };

    /// `SSL_state_string` after the handshake.
    const ESTABLISHED: &str = "SSLOK ";

    /// LibreSSL never issues TLS 1.3 tickets.
    pub(crate) fn issue_no_tickets(_: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        Ok(())
    }

    /// LibreSSL binds sessions to the server name itself, and keeps the name of the ClientHello.
    pub(crate) fn watch_server_name(
        _: &mut SslContextBuilder,
        _: [u8; BINDING],
    ) -> Result<(), ErrorStack> {
        Ok(())
    }

    /// What a fatal alert that was sent means where LibreSSL gives no reason but the alert, or one
    /// that stands for several things; `bare` says that there was none.
    pub(crate) fn meaning_of_own_alert(
        ssl: &SslRef,
        sent: AlertDescription,
        bare: bool,
    ) -> Option<ErrorKind> {
        let unshared = match sent {
            AlertDescription::NO_APPLICATION_PROTOCOL => SharedParameter::ApplicationProtocol,
            // Without a reason it was the version in the header of a record.
            AlertDescription::PROTOCOL_VERSION if !bare && ssl.state_string() != ESTABLISHED => {
                SharedParameter::Version
            }
            _ => return None,
        };
        Some(ErrorKind::NoSharedParameters(unshared))
    }

    /// The name the client asked for, in lower case.
    pub(crate) fn requested_server_name(ssl: &SslRef) -> Option<String> {
        ssl.servername(NameType::HOST_NAME)
            .map(str::to_ascii_lowercase)
    }
}
