//! What the honest part of a hostile peer does unlike other peers, within its handshake.

use std::cell::Cell;
use std::sync::OnceLock;

use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as TLS12, TLS13_AES_128_GCM_SHA256 as TLS13,
};
use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock};
use rustls::crypto::{ActiveKeyExchange, hmac};
use rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};

use crate::pair::Side;

/// What a peer does within its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// What every peer does.
    None,
    /// It sends records of at most so many bytes, their headers included; 32 or more.
    TinyRecords(usize),
    /// A server of TLS 1.3 that sends this before it has seen the client's Finished.
    HalfRtt(&'static [u8]),
    /// Its Finished is wrong.
    WrongFinished,
}

impl Quirk {
    /// The largest record, if it is limited.
    pub(super) fn fragments(self) -> Option<usize> {
        match self {
            Self::TinyRecords(size) => Some(size),
            _ => None,
        }
    }

    /// The suites a peer on this side offers.
    pub(super) fn suites(self, side: Side) -> Vec<SupportedCipherSuite> {
        match self {
            Self::WrongFinished => vec![wrong_tls13(side), wrong_tls12(side)],
            _ => vec![TLS13, TLS12],
        }
    }
}

thread_local! {
    /// How many Finished messages the peer of this thread has computed, its own and the other's.
    static FINISHED: Cell<u32> = const { Cell::new(0) };
}

/// The server computes its own Finished first, and so does the client the server's.
struct WrongHkdf {
    good: &'static dyn Hkdf,
    spoilt: u32,
}

impl Hkdf for WrongHkdf {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.good.extract_from_zero_ikm(salt)
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        self.good.extract_from_secret(salt, secret)
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        self.good.expander_for_okm(okm)
    }

    /// Used for Finished alone, where nothing is resumed.
    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> hmac::Tag {
        let tag = self.good.hmac_sign(key, message);
        let number = FINISHED.get();
        FINISHED.set(number + 1);
        if number != self.spoilt {
            return tag;
        }
        let mut wrong = tag.as_ref().to_vec();
        wrong[0] ^= 1;
        hmac::Tag::new(&wrong)
    }
}

fn wrong_tls13(side: Side) -> SupportedCipherSuite {
    static SUITES: [OnceLock<(WrongHkdf, OnceLock<Tls13CipherSuite>)>; 2] =
        [const { OnceLock::new() }; 2];
    FINISHED.set(0);
    let SupportedCipherSuite::Tls13(good) = TLS13 else {
        unreachable!("a suite of TLS 1.3");
    };
    let (hkdf, suite) = SUITES[side as usize].get_or_init(|| {
        let spoilt = match side {
            Side::Client => 1,
            Side::Server => 0,
        };
        let good = good.hkdf_provider;
        (WrongHkdf { good, spoilt }, OnceLock::new())
    });
    SupportedCipherSuite::Tls13(suite.get_or_init(|| Tls13CipherSuite {
        common: common(&good.common),
        hkdf_provider: hkdf,
        aead_alg: good.aead_alg,
        quic: None,
    }))
}

struct WrongPrf {
    good: &'static dyn Prf,
    /// That of the peer's own Finished. RFC 5246 section 7.4.9.
    spoilt: &'static [u8],
}

impl Prf for WrongPrf {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        kx: Box<dyn ActiveKeyExchange>,
        peer_pub_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), rustls::Error> {
        self.good
            .for_key_exchange(output, kx, peer_pub_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        self.good.for_secret(output, secret, label, seed);
        if label == self.spoilt {
            output[0] ^= 1;
        }
    }
}

fn wrong_tls12(side: Side) -> SupportedCipherSuite {
    static SUITES: [OnceLock<(WrongPrf, OnceLock<Tls12CipherSuite>)>; 2] =
        [const { OnceLock::new() }; 2];
    let SupportedCipherSuite::Tls12(good) = TLS12 else {
        unreachable!("a suite of TLS 1.2");
    };
    let (prf, suite) = SUITES[side as usize].get_or_init(|| {
        let spoilt: &[u8] = match side {
            Side::Client => b"client finished",
            Side::Server => b"server finished",
        };
        let good = good.prf_provider;
        (WrongPrf { good, spoilt }, OnceLock::new())
    });
    SupportedCipherSuite::Tls12(suite.get_or_init(|| Tls12CipherSuite {
        common: common(&good.common),
        prf_provider: prf,
        kx: good.kx,
        sign: good.sign,
        aead_alg: good.aead_alg,
    }))
}

fn common(good: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: good.suite,
        hash_provider: good.hash_provider,
        confidentiality_limit: good.confidentiality_limit,
    }
}
