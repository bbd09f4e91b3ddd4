//! What the error queue of a library means: the order in which it is read, and the sentences.

use std::borrow::Cow;
use std::ffi::{c_int, c_ulong};

use tls_core::iana::AlertDescription;
use tls_core::{CertificateProblem, ErrorKind, SharedParameter};

/// `SSL_AD_REASON_OFFSET`, the same in the three libraries: reasons of libssl from here on are
/// alerts, of the peer or (in LibreSSL) our own.
const ALERT_OFFSET: c_int = 1000;

/// For a library that refuses something and says why by its alert alone.
const REFUSED: &str = "the library refuses what the peer has sent";

/// What the error queue of a library means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Who is at fault.
    pub kind: ErrorKind,
    /// The library's own words.
    pub detail: Cow<'static, str>,
    /// The fatal alert of the peer that ended the session; goes with `ErrorKind::PeerAlert`.
    pub alert_received: Option<AlertDescription>,
}

impl Diagnosis {
    /// A failure of this kind, in these words.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            alert_received: None,
        }
    }
}

/// An error code, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Whether the library is libssl itself, `ERR_LIB_SSL`.
    pub of_ssl: bool,
    /// `ERR_GET_REASON`.
    pub number: c_int,
}

impl Reason {
    fn alert(self) -> Option<AlertDescription> {
        let alert = self.number - ALERT_OFFSET;
        if !self.of_ssl {
            return None;
        }
        u8::try_from(alert).ok().map(AlertDescription)
    }
}

/// What one reason of a library means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The peer's chain was refused; the verification result says why.
    VerifyFailed,
    /// This, in the library's words.
    Kind(ErrorKind),
    /// This, in a sentence clearer than the library's.
    Explained(ErrorKind, &'static str),
}

impl Meaning {
    /// The peer presented no certificate.
    pub const NO_CERTIFICATE: Self = Self::Explained(
        ErrorKind::Certificate(CertificateProblem::Missing),
        "the peer presented no certificate",
    );
    /// The peer's certificate does not decode.
    pub const BAD_CERTIFICATE: Self = Self::Explained(
        ErrorKind::Certificate(CertificateProblem::BadEncoding),
        "the peer's certificate is not well-formed",
    );
    /// No application protocol in common.
    pub const NO_PROTOCOL: Self = Self::Explained(
        ErrorKind::NoSharedParameters(SharedParameter::ApplicationProtocol),
        "the client offers only application protocols that this server does not have",
    );
    /// No protocol version in common.
    pub const NO_VERSION: Self =
        Self::Kind(ErrorKind::NoSharedParameters(SharedParameter::Version));
    /// No cipher suite, group or signature algorithm in common.
    pub const NO_CIPHER_SUITE: Self =
        Self::Kind(ErrorKind::NoSharedParameters(SharedParameter::CipherSuite));
    /// A certificate too weak for our policy.
    pub const WEAK: Self = Self::Kind(ErrorKind::Certificate(CertificateProblem::Weak));
    /// Plain HTTP.
    pub const HTTP: Self =
        Self::Explained(ErrorKind::Protocol, "the peer speaks plain HTTP, not TLS");
    /// The version in a record header is none of TLS.
    pub const NOT_TLS: Self = Self::Explained(ErrorKind::Protocol, "the peer does not speak TLS");
    /// Too many KeyUpdates.
    pub const TOO_MANY_KEY_UPDATES: Self =
        Self::Explained(ErrorKind::Protocol, "the peer sent too many KeyUpdates");
}

/// What a library's reasons mean.
pub trait Diagnose {
    /// Takes a code apart.
    fn reason(&self, code: c_ulong) -> Reason;

    /// What a reason means, of libssl or another part of the library; `None` if it only says where
    /// something was met.
    fn meaning(&self, reason: Reason) -> Option<Meaning>;

    /// The library's own words for a code, such as "bad record type".
    fn words(&self, code: c_ulong) -> Option<&'static str>;

    /// Why the peer's chain was refused.
    fn refusal(&self) -> Diagnosis;

    /// What a failure means where the library's reason alone does not say: `sent` is the alert that
    /// was sent, `reason` the first that is no alert.
    fn meaning_here(
        &self,
        _sent: Option<AlertDescription>,
        _reason: Option<c_int>,
    ) -> Option<(ErrorKind, &'static str)> {
        None
    }

    /// What a failure of a session means. `codes` is the error queue, oldest first; `sent` is the
    /// fatal alert that was sent, if any.
    ///
    /// The first code that says something decides: later ones only say where it was met.
    fn diagnose(&self, sent: Option<AlertDescription>, codes: &[c_ulong]) -> Diagnosis {
        let alert = |code: c_ulong| self.reason(code).alert();
        let received = |&alert: &AlertDescription| Some(alert) != sent;
        if let Some(alert) = codes.iter().copied().filter_map(alert).find(received) {
            let mut diagnosis = Diagnosis::new(ErrorKind::PeerAlert, "");
            diagnosis.alert_received = Some(alert);
            return diagnosis;
        }
        let first = codes.iter().copied().find(|&code| alert(code).is_none());
        let number = first.map(|code| self.reason(code).number);
        if let Some((kind, sentence)) = self.meaning_here(sent, number) {
            return Diagnosis::new(kind, sentence);
        }
        let words = |code| match self.words(code) {
            Some(words) => Cow::Borrowed(words),
            None => Cow::Owned(format!("error {code:#x} of the library")),
        };
        for &code in codes {
            match self.meaning(self.reason(code)) {
                None => {}
                Some(Meaning::VerifyFailed) => return self.refusal(),
                Some(Meaning::Kind(kind)) => return Diagnosis::new(kind, words(code)),
                Some(Meaning::Explained(kind, sentence)) => return Diagnosis::new(kind, sentence),
            }
        }
        match first {
            // Whatever else the library objects to came from the peer: it was the peer's bytes that
            // it was working on.
            Some(code) => Diagnosis::new(ErrorKind::Protocol, words(code)),
            None if sent.is_some() => Diagnosis::new(ErrorKind::Protocol, REFUSED),
            None => Diagnosis::new(ErrorKind::Backend, "the library failed without saying why"),
        }
    }
}
