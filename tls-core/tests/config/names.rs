//! Names: those of the registries, and those of the features.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use tls_core::iana::{AlertDescription, CipherSuite, Group, ProtocolVersion, SignatureScheme};
use tls_core::{ConfigProblem, Error, ErrorKind, Feature};

use super::sentence;

/// Every entry is read back from each of its names, whatever the case, and from no other's.
macro_rules! registry_test {
    ($test:ident, $name:ident, $unknown:literal, $hexadecimal:literal) => {
        #[test]
        fn $test() {
            let mut names = HashSet::new();
            for &entry in $name::REGISTERED {
                assert_eq!(entry.to_string(), entry.name().unwrap());
                let all = entry.aliases().iter().copied().chain(entry.name());
                for name in all {
                    round_trip(name, entry);
                    assert!(names.insert(name.to_ascii_lowercase()), "{name} is taken");
                }
            }
            assert!(!names.is_empty());
            let values: HashSet<_> = $name::REGISTERED.iter().collect();
            assert_eq!(
                values.len(),
                $name::REGISTERED.len(),
                "a value is there twice"
            );

            let unknown = $name($unknown);
            assert_eq!(unknown.name(), None);
            assert!(unknown.aliases().is_empty());
            assert_eq!(unknown.to_string(), $hexadecimal);
            for text in ["", "no such name", $hexadecimal] {
                let error = text.parse::<$name>().unwrap_err();
                let kind = ErrorKind::Config(ConfigProblem::UnknownName);
                let said = sentence(&error, kind);
                assert!(said.contains(&format!("{text:?}")), "{said}");
            }
        }
    };
}

registry_test!(versions, ProtocolVersion, 0x0305, "0x0305");
registry_test!(cipher_suites, CipherSuite, 0xfefe, "0xfefe");
registry_test!(groups, Group, 0x0abc, "0x0abc");
registry_test!(signature_schemes, SignatureScheme, 0x0001, "0x0001");
registry_test!(alerts, AlertDescription, 7, "0x07");

fn round_trip<T>(name: &str, entry: T)
where
    T: FromStr<Err = Error> + PartialEq + Display + Copy + std::fmt::Debug,
{
    for text in [
        name.to_owned(),
        name.to_ascii_lowercase(),
        name.to_ascii_uppercase(),
    ] {
        assert_eq!(text.parse::<T>().unwrap(), entry);
    }
}

#[test]
fn suites_know_their_version() {
    let tls13 = CipherSuite::REGISTERED
        .iter()
        .filter(|suite| suite.is_tls13());
    assert_eq!(tls13.count(), 5, "RFC 8446 appendix B.4");
    for &suite in CipherSuite::REGISTERED {
        let registered = suite.name().unwrap();
        assert_eq!(suite.is_tls13(), !registered.contains("_WITH_"));
        let libssl = suite.libssl_name().unwrap();
        assert_eq!(libssl == registered, suite.is_tls13(), "{libssl}");
    }
    assert_eq!(CipherSuite(0xfefe).libssl_name(), None);
}

#[test]
fn features_are_named_after_their_fields() {
    let names: HashSet<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
    assert_eq!(names.len(), Feature::ALL.len());
    for &feature in Feature::ALL {
        let letters = |text: &str| text.replace('_', "").to_ascii_lowercase();
        assert_eq!(letters(feature.name()), letters(&format!("{feature:?}")));
        assert_eq!(feature.to_string(), feature.name());
    }
}
