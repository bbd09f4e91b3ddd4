//! Chains that are odd, long or faulty, and certificates of each kind of key.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use tls_core::config::{Identity, Roots};
use tls_core::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tls_core::{CertificateProblem as P, ConfigProblem, ErrorKind, Feature, SessionOptions};

use crate::case::{Case, CaseResult, Failure};
use crate::check;
use crate::ensure;
use crate::pair::Side;
use crate::pki::{Authority, Leaf, OTHER_NAME, SERVER_NAME, authority, identity, new_key};
use crate::scene::Scene;

/// Protects nothing: rcgen makes no RSA keys here.
const RSA_KEY: &str = include_str!("../rsa_2048.pem");

pub(super) const CASES: &[Case] = &[
    Case {
        rfc: "RFC 8446 4.4.2",
        clauses: &["K14"],
        items: &["behaviours 98"],
        ..Case::new("chains.order_and_extras_do_not_matter", out_of_order)
    },
    Case {
        rfc: "RFC 5280 6.1",
        clauses: &["K14", "K4"],
        items: &["behaviours 99"],
        ..Case::new("chains.a_circle_leads_nowhere", circle)
    },
    Case {
        rfc: "RFC 5280 4.2.1.9",
        clauses: &["K14"],
        items: &["behaviours 101"],
        ..Case::new("chains.path_length_holds", path_length)
    },
    Case {
        rfc: "RFC 5280 6.1.3",
        clauses: &["K14"],
        items: &["behaviours 100"],
        ..Case::new("chains.one_of_several_faults_is_told", several_faults)
    },
    Case {
        rfc: "RFC 8446 4.2.3",
        clauses: &["K14", "K10"],
        items: &["behaviours 166"],
        ..Case::new("chains.every_kind_of_key_signs", kinds_of_keys)
    },
    Case {
        rfc: "RFC 8446 5.1, 4.4.2",
        clauses: &["K14", "K16"],
        items: &["behaviours 152"],
        ..Case::new("chains.large_certificates", large)
    },
    Case {
        rfc: "RFC 9525 1.4.2",
        clauses: &["K14"],
        items: &["behaviours 97"],
        ..Case::new(
            "chains.no_alternative_names_match_nothing",
            no_alternative_names,
        )
    },
    Case {
        rfc: "RFC 5280 4.2.2.1, 4.2.1.13",
        clauses: &["K14"],
        items: &["seed-api 32"],
        ..Case::new("chains.nothing_is_fetched", nothing_fetched)
    },
    Case {
        rfc: "RFC 9525 6.3, RFC 6066 3",
        clauses: &["K14", "K11"],
        items: &["behaviours 96"],
        ..Case::new("chains.unusual_names", unusual_names)
    },
];

/// What the certificates of these cases lead to.
struct Made {
    root: Authority,
    /// Below the root.
    first: Authority,
    /// Below the first.
    second: Authority,
}

impl Made {
    fn shared() -> &'static Self {
        static MADE: OnceLock<Made> = OnceLock::new();
        MADE.get_or_init(|| {
            let root = Authority::root("polytls root of chains");
            let first = root.intermediate("polytls first authority of chains");
            let second = first.intermediate("polytls second authority of chains");
            Self {
                root,
                first,
                second,
            }
        })
    }

    fn roots(&self) -> Roots {
        Roots::given([self.root.certificate()])
    }
}

fn localhost() -> Leaf {
    Leaf::server(&[SERVER_NAME])
}

/// The same leaf and key under another chain.
fn with_chain(identity: &Identity, chain: Vec<CertificateDer<'static>>) -> Identity {
    crate::pki::identity(chain, identity.key().clone_key())
}

/// A server of this identity is accepted by a client of the roots of these cases.
fn accepted(scene: &Scene<'_>, what: &str, identity: &Identity) -> CaseResult {
    let mut client = scene.client_config();
    client.roots = Made::shared().roots();
    let mut server = scene.server_config();
    server.identity = identity.clone();
    let mut pair = scene
        .build()
        .client(client)
        .server(server)
        .connected()
        .map_err(|failure| failure.during(what))?;
    check::equal(
        "the leaf the client verified",
        pair.client
            .session()
            .peer_certificates()
            .and_then(<[_]>::first),
        identity.chain().first(),
    )?;
    pair.ping_pong()
}

/// A server of this identity is refused with one of these problems, and told by an alert.
fn refused(
    scene: &Scene<'_>,
    what: &str,
    (identity, name): (&Identity, &str),
    problems: &[P],
) -> CaseResult {
    let mut client = scene.client_config();
    client.roots = Made::shared().roots();
    let mut server = scene.server_config();
    server.identity = identity.clone();
    let outcome = scene
        .build()
        .client(client)
        .server(server)
        .options(SessionOptions::to_server(name)?)
        .pair()?
        .settle()?;
    let error = outcome.client.failure(what)?;
    ensure!(
        problems
            .iter()
            .any(|problem| error.kind() == ErrorKind::Certificate(*problem)),
        "{what}: expected one of {problems:?}, met {:?}",
        error.kind()
    );
    let error = outcome.server.failure(what)?;
    check::kind(what, error, ErrorKind::PeerAlert)
}

fn out_of_order(scene: &Scene<'_>) -> CaseResult {
    let made = Made::shared();
    let server = made.second.issue(localhost());
    let [leaf, second, first] = server.chain() else {
        return Err(Failure::new("harness", "a chain of three"));
    };
    let root = made.root.certificate();
    let unrelated = scene.pki.other_root.clone();
    let chains = [
        ("in order", vec![leaf, second, first]),
        ("out of order", vec![leaf, first, second]),
        ("with the root", vec![leaf, second, first, &root]),
        ("with one twice", vec![leaf, second, second, first, first]),
        (
            "with another's authority",
            vec![leaf, &unrelated, second, first],
        ),
    ];
    for (what, chain) in chains {
        let chain = chain.into_iter().cloned().collect();
        accepted(scene, what, &with_chain(&server, chain))?;
    }
    Ok(())
}

/// Two authorities that vouch for one another, and for nobody else.
fn circle(scene: &Scene<'_>) -> CaseResult {
    let [one, two] = [authority("one of a circle"), authority("two of a circle")];
    let [one_key, two_key] = [new_key(), new_key()];
    let made = |error: rcgen::Error| Failure::new("harness", error.to_string());
    let by_one = Issuer::from_params(&one, &one_key);
    let by_two = Issuer::from_params(&two, &two_key);
    let one_by_two = one.signed_by(&one_key, &by_two).map_err(made)?;
    let two_by_one = two.signed_by(&two_key, &by_one).map_err(made)?;
    let key = new_key();
    let leaf = localhost().signed_by(&key, &by_one);
    let chain = vec![leaf, one_by_two.der().clone(), two_by_one.der().clone()];
    let server = identity(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into());
    refused(
        scene,
        "a circle",
        (&server, SERVER_NAME),
        // Or too long, for an engine that goes round until it has enough.
        &[P::UnknownIssuer, P::Other],
    )
}

fn path_length(scene: &Scene<'_>) -> CaseResult {
    let made = Made::shared();
    let mut params = authority("polytls authority of leaves only");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let limited = made.root.below(params);
    accepted(scene, "below it", &limited.issue(localhost()))?;
    let below = limited.intermediate("polytls authority that may not be");
    refused(
        scene,
        "an authority below it",
        (&below.issue(localhost()), SERVER_NAME),
        &[P::Other, P::UnknownIssuer],
    )
}

fn several_faults(scene: &Scene<'_>) -> CaseResult {
    let expired = Made::shared().first.issue(localhost().valid(-30, -1));
    let untrusted = Authority::root("polytls root that nobody trusts");
    let both = untrusted.issue(localhost().valid(-30, -1));
    for (what, server, name, problems) in [
        (
            "expired, for another name",
            &expired,
            OTHER_NAME,
            [P::Expired, P::NameMismatch],
        ),
        (
            "untrusted, for another name",
            &scene.pki.untrusted_server,
            OTHER_NAME,
            [P::UnknownIssuer, P::NameMismatch],
        ),
        (
            "untrusted and expired",
            &both,
            SERVER_NAME,
            [P::UnknownIssuer, P::Expired],
        ),
    ] {
        refused(scene, what, (server, name), &problems)?;
    }
    Ok(())
}

fn kinds_of_keys(scene: &Scene<'_>) -> CaseResult {
    let made = |error: rcgen::Error| Failure::new("harness", error.to_string());
    let keys = [
        ("P-256", Ok(new_key())),
        ("P-384", KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)),
        (
            "RSA",
            KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256),
        ),
        ("Ed25519", KeyPair::generate_for(&PKCS_ED25519)),
    ];
    for (what, key) in keys {
        let server = Made::shared()
            .first
            .issue_for(localhost(), key.map_err(made)?);
        accepted(scene, what, &server)?;
    }
    Ok(())
}

/// More than one record of certificates, at first and when the session may be resumed.
fn large(scene: &Scene<'_>) -> CaseResult {
    // Long names: of more than 512 some engines take none.
    let label = "l".repeat(50);
    let names: Vec<_> = (0..400)
        .map(|number| format!("host-{number}.{label}.polytls.test"))
        .collect();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push(SERVER_NAME);
    let made = Made::shared();
    let mut server = scene.server_config();
    server.identity = made.first.issue(Leaf::server(&all));
    ensure!(
        server.identity.chain()[0].len() > 20_000,
        "the leaf is larger than a record"
    );
    let resumption = match scene.is_tls13() {
        true => Feature::Tls13Resumption,
        false => Feature::Tls12Resumption,
    };
    let expected = server.identity.chain().to_vec();
    let mut client = scene.client_config();
    client.roots = made.roots();
    let client = scene.backend.client(client)?;
    let server = scene.backend.server(server)?;
    for round in 0..2 {
        let builder = scene.build().client_context(&*client);
        let mut pair = builder.server_context(&*server).connected()?;
        check::equal(
            "the leaf the client knows",
            pair.client
                .session()
                .peer_certificates()
                .and_then(<[_]>::first),
            expected.first(),
        )?;
        if scene.has(Feature::StatelessTickets) && scene.has(resumption) {
            let resumed = pair.server.session().resumed();
            check::equal("resumed", resumed, Some(round > 0))?;
        }
        pair.ping_pong()?;
        pair.shutdown(Side::Client)?;
        pair.read_to_end(Side::Server)?.1?;
    }
    Ok(())
}

/// Where there is no subjectAltName at all, the common name does not stand in for it.
fn no_alternative_names(scene: &Scene<'_>) -> CaseResult {
    let leaf = Leaf::server(&[]).with_common_name(SERVER_NAME);
    let server = Made::shared().first.issue(leaf);
    let what = "a certificate without alternative names";
    refused(scene, what, (&server, SERVER_NAME), &[P::NameMismatch])
}

/// A leaf says where its issuer, its status and a list of revoked ones can be had, and nobody asks
/// there: with its issuer in the chain it is accepted, and without it is not.
fn nothing_fetched(scene: &Scene<'_>) -> CaseResult {
    let place = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    place.set_nonblocking(true)?;
    let url = format!("http://{}/", place.local_addr()?);
    let server = Made::shared().first.issue(localhost().with_places(&url));
    accepted(scene, "with its issuer", &server)?;
    let alone = with_chain(&server, server.chain()[..1].to_vec());
    let what = "without its issuer";
    refused(scene, what, (&alone, SERVER_NAME), &[P::UnknownIssuer])?;
    match place.accept() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Failure::assertion("a certificate made somebody connect")),
    }
}

/// Names that some library or other stumbles over.
fn unusual_names(scene: &Scene<'_>) -> CaseResult {
    const UNDERSCORE: &str = "under_score.polytls.test";
    const ENCODED: &str = "xn--bcher-kva.polytls.test";
    for name in [
        "",
        ".",
        "a..b",
        " localhost",
        "local host",
        "local\0host",
        "bücher.polytls.test",
    ] {
        check::fails_with(
            &format!("the name {name:?}"),
            SessionOptions::to_server(name),
            ErrorKind::Config(ConfigProblem::ServerName),
        )?;
    }
    let server = Made::shared()
        .first
        .issue(Leaf::server(&[UNDERSCORE, ENCODED]));
    for name in [ENCODED, UNDERSCORE] {
        let mut client = scene.client_config();
        client.roots = Made::shared().roots();
        let mut config = scene.server_config();
        config.identity = server.clone();
        let builder = scene.build().client(client).server(config);
        let pair = builder
            .options(SessionOptions::to_server(name)?)
            .connected()
            .map_err(|failure| failure.during(name))?;
        check::equal("the name", pair.server.session().server_name(), Some(name))?;
    }
    Ok(())
}
