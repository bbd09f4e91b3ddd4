//! The parts of a provider of cryptography that do not give the same twice, over a tape.

use std::sync::Arc;

use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom,
    SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    Error, NamedGroup, ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
};
use tls_core::pki_types::{SubjectPublicKeyInfoDer, UnixTime};

use super::transcript::{as_said, taped_suite};
use super::{Completed, Entry, Handle, Share, Tape, recall_or, with};

/// What of a provider goes over a tape, made once: rustls wants it static.
#[derive(Debug)]
pub(crate) struct TapedProvider {
    random: TapedRandom,
    groups: Vec<TapedGroup>,
    suites: Vec<SupportedCipherSuite>,
}

impl TapedProvider {
    /// `groups` are all that the provider has.
    pub(crate) fn new(
        crypto: &CryptoProvider,
        groups: &'static [&'static dyn SupportedKxGroup],
    ) -> Self {
        Self {
            random: TapedRandom(crypto.secure_random),
            groups: groups.iter().map(|group| TapedGroup(*group)).collect(),
            suites: crypto
                .cipher_suites
                .iter()
                .copied()
                .map(taped_suite)
                .collect(),
        }
    }

    /// The provider, asked over a tape.
    pub(crate) fn wrap(&'static self, crypto: &CryptoProvider) -> CryptoProvider {
        let mut taped = crypto.clone();
        taped.secure_random = &self.random;
        for group in &mut taped.kx_groups {
            let mut known = self.groups.iter();
            if let Some(known) = known.find(|known| known.name() == group.name()) {
                *group = known;
            }
        }
        for suite in &mut taped.cipher_suites {
            let mut known = self.suites.iter();
            if let Some(known) = known.find(|known| known.suite() == suite.suite()) {
                *suite = *known;
            }
        }
        taped
    }
}

/// Random bytes.
#[derive(Debug)]
struct TapedRandom(&'static dyn SecureRandom);

impl SecureRandom for TapedRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        let length = buf.len();
        let bytes = recall_or(
            |entry| match entry {
                Entry::Random(bytes) if bytes.len() == length => Some(bytes.clone()),
                _ => None,
            },
            || {
                let mut bytes = vec![0; length];
                self.0.fill(&mut bytes)?;
                Ok(bytes)
            },
            |bytes| Entry::Random(bytes.clone()),
        )?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// The time.
#[derive(Debug)]
pub(crate) struct TapedTime(pub(crate) Arc<dyn TimeProvider>);

impl TimeProvider for TapedTime {
    fn current_time(&self) -> Option<UnixTime> {
        recall_or(
            |entry| match entry {
                Entry::Time(time) => Some(*time),
                _ => None,
            },
            || self.0.current_time().ok_or(()),
            |time| Entry::Time(*time),
        )
        .ok()
    }
}

/// A key-exchange group.
#[derive(Debug)]
struct TapedGroup(&'static dyn SupportedKxGroup);

impl SupportedKxGroup for TapedGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let group = self.0.name();
        let recalled = with(|tape| {
            tape.recall(|entry| match entry {
                Entry::Share(share) if share.handle.group == group => Some(share.handle.clone()),
                _ => None,
            })
        });
        if let Some(handle) = recalled.flatten() {
            return Ok(Box::new(handle));
        }
        let exchange = self.0.start()?;
        let component = exchange.hybrid_component();
        let mut handle = Handle {
            place: 0,
            group,
            ours: exchange.pub_key().to_vec(),
            component: component.map(|(group, share)| (group, share.to_vec())),
        };
        with(|tape| {
            handle.place = tape.next;
            tape.note(Entry::Share(Share {
                handle: handle.clone(),
                exchange: Some(exchange),
                completed: None,
            }));
        });
        Ok(Box::new(handle))
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let name = self.0.name();
        recall_or(
            |entry| match entry {
                Entry::Encapsulated {
                    group,
                    peer,
                    ours,
                    secret,
                } if *group == name && *peer == peer_pub_key => Some(CompletedKeyExchange {
                    group: *group,
                    pub_key: ours.clone(),
                    secret: copy(secret),
                }),
                _ => None,
            },
            || self.0.start_and_complete(peer_pub_key),
            |completed| Entry::Encapsulated {
                group: completed.group,
                peer: peer_pub_key.to_vec(),
                ours: completed.pub_key.clone(),
                secret: copy(&completed.secret),
            },
        )
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.0.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        self.0.usable_for_version(version)
    }
}

impl ActiveKeyExchange for Handle {
    fn complete(self: Box<Self>, peer_pub_key: &[u8]) -> Result<SharedSecret, Error> {
        self.finish(peer_pub_key, false)
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        let (group, share) = self.component.as_ref()?;
        Some((*group, share))
    }

    fn complete_hybrid_component(
        self: Box<Self>,
        peer_pub_key: &[u8],
    ) -> Result<SharedSecret, Error> {
        self.finish(peer_pub_key, true)
    }

    fn pub_key(&self) -> &[u8] {
        &self.ours
    }

    fn group(&self) -> NamedGroup {
        self.group
    }
}

impl Handle {
    /// Completes the exchange, or gives what an attempt before got.
    fn finish(&self, peer: &[u8], component: bool) -> Result<SharedSecret, Error> {
        let recalled = with(|tape| self.recall(tape, peer, component));
        let exchange = match recalled.flatten() {
            Some(Ok(secret)) => return Ok(secret),
            Some(Err(exchange)) => exchange,
            None => return Err(Error::General("a key exchange without its tape".into())),
        };
        let secret = match component {
            true => exchange.complete_hybrid_component(peer)?,
            false => exchange.complete(peer)?,
        };
        with(|tape| {
            let completed = Completed {
                component,
                peer: peer.to_vec(),
                secret: copy(&secret),
            };
            if let Some(share) = tape.share(self.place) {
                share.completed = Some(completed);
            }
        });
        Ok(secret)
    }

    /// The secret, if an attempt before has completed the exchange, or else the exchange.
    fn recall(
        &self,
        tape: &mut Tape,
        peer: &[u8],
        component: bool,
    ) -> Option<Result<SharedSecret, Box<dyn ActiveKeyExchange>>> {
        let share = tape.share(self.place)?;
        match &share.completed {
            None => share.exchange.take().map(Err),
            Some(done) if done.peer == peer && done.component == component => {
                Some(Ok(copy(&done.secret)))
            }
            Some(_) => {
                tape.diverged = true;
                None
            }
        }
    }
}

fn copy(secret: &SharedSecret) -> SharedSecret {
    SharedSecret::from(secret.secret_bytes())
}

/// A key: most signatures are different each time.
#[derive(Debug)]
struct TapedKey(Arc<dyn SigningKey>);

#[derive(Debug)]
struct TapedSigner(Box<dyn Signer>);

/// The same certificate, with a key that signs over a tape.
pub(crate) fn taped_key(key: CertifiedKey) -> CertifiedKey {
    CertifiedKey {
        key: Arc::new(TapedKey(key.key)),
        ..key
    }
}

impl SigningKey for TapedKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.0.choose_scheme(offered)?;
        Some(Box::new(TapedSigner(signer)))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for TapedSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let message = &*as_said(message);
        let own_scheme = self.0.scheme();
        recall_or(
            |entry| match entry {
                Entry::Signature {
                    scheme,
                    message: signed,
                    signature,
                } if *scheme == own_scheme && *signed == message => Some(signature.clone()),
                _ => None,
            },
            || self.0.sign(message),
            |signature| Entry::Signature {
                scheme: own_scheme,
                message: message.to_vec(),
                signature: signature.clone(),
            },
        )
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}
