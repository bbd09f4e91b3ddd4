//! The transcript of a client that has offered a TLS 1.3 ticket, which rustls gives away once.
//!
//! A ticket cannot be copied, so an attempt after the first has none, and its ClientHello is another
//! one than the server got. Where there is a question at all the server has refused the ticket, and
//! nothing of it is left but the bytes of that hello, which both sides hash and sign. So the hello
//! that was said stands in for the one that was not, wherever this side's transcript is hashed or
//! signed. Were it not the right one, no Finished would verify.

use std::borrow::Cow;

use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

use super::with;

/// A ClientHello that never leaves, and the one that has left.
pub(super) struct StandIn {
    pub(super) unsaid: Vec<u8>,
    pub(super) said: Vec<u8>,
}

/// These bytes of a transcript as the peer has them.
pub(super) fn as_said(bytes: &[u8]) -> Cow<'_, [u8]> {
    with(|tape| {
        let mut bytes = Cow::Borrowed(bytes);
        for StandIn { unsaid, said } in &tape.stand_ins {
            let mut places = bytes.windows(unsaid.len());
            if let Some(at) = places.position(|place| place == unsaid) {
                bytes
                    .to_mut()
                    .splice(at..at + unsaid.len(), said.iter().copied());
            }
        }
        bytes
    })
    .unwrap_or(Cow::Borrowed(bytes))
}

/// The same suite, with such a transcript; made once for each suite of a provider, to last.
pub(super) fn taped_suite(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: taped_common(&suite.common),
                prf_provider: suite.prf_provider,
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: suite.aead_alg,
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: taped_common(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: suite.quic,
            })))
        }
    }
}

fn taped_common(common: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: common.suite,
        hash_provider: Box::leak(Box::new(TapedHash(common.hash_provider))),
        confidentiality_limit: common.confidentiality_limit,
    }
}

struct TapedHash(&'static dyn Hash);

struct TapedContext(Box<dyn Context>);

impl Hash for TapedHash {
    fn start(&self) -> Box<dyn Context> {
        Box::new(TapedContext(self.0.start()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        self.0.hash(&as_said(data))
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

impl Context for TapedContext {
    fn fork_finish(&self) -> Output {
        self.0.fork_finish()
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.fork()))
    }

    fn finish(self: Box<Self>) -> Output {
        self.0.finish()
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(&as_said(data));
    }
}

/// What two ClientHellos that differ in their extensions alone have in common: version, random,
/// session id, suites and compression methods. RFC 8446 section 4.1.2.
fn before_extensions(hello: &[u8]) -> Option<&[u8]> {
    let body = hello.get(4..)?;
    let mut at = 2 + 32;
    at += 1 + usize::from(*body.get(at)?);
    let suites = body.get(at..)?.first_chunk::<2>()?;
    at += 2 + usize::from(u16::from_be_bytes(*suites));
    at += 1 + usize::from(*body.get(at)?);
    body.get(..at)
}

impl StandIn {
    /// Puts what was said in place of what was not, if both are hellos of the same session.
    pub(super) fn new(unsaid: &[u8], said: &[u8]) -> Option<Self> {
        let same = before_extensions(unsaid)? == before_extensions(said)?;
        same.then(|| Self {
            unsaid: unsaid.to_vec(),
            said: said.to_vec(),
        })
    }
}
