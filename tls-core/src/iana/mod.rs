//! Numbers from the IANA TLS registries, as newtypes that print their registered names.
//!
//! A value that is not in the table here is still a value: it prints as its number in hexadecimal.

mod alert;
mod extension;
mod group;
mod scheme;
mod suite;
mod version;

pub use alert::AlertDescription;
pub use extension::ExtensionType;
pub use group::Group;
pub use scheme::SignatureScheme;
pub use suite::CipherSuite;
pub use version::ProtocolVersion;

/// Declares one registry: the newtype, a constant and a registered name for each entry, `Display`
/// and `FromStr`, all from one list so that they cannot diverge.
macro_rules! registry {
    (
        $(#[$doc:meta])*
        $name:ident($repr:ty), width $width:literal, what $what:literal;
        $( $constant:ident = $value:literal, $registered:literal $(| $alias:literal)*; )*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        #[allow(missing_docs, reason = "each constant is named by its registered name")]
        impl $name {
            $(
                #[doc = concat!("`", $registered, "`")]
                pub const $constant: Self = Self($value);
            )*
        }

        impl $name {
            /// Every value that has a name here.
            pub const REGISTERED: &'static [Self] = &[$(Self($value)),*];

            /// The name in the IANA registry, if the value is one of [`Self::REGISTERED`].
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $( $value => Some($registered), )*
                    _ => None,
                }
            }

            /// Other names in common use, best known first.
            pub const fn aliases(self) -> &'static [&'static str] {
                match self.0 {
                    $( $value => &[$($alias),*], )*
                    _ => &[],
                }
            }
        }

        impl std::fmt::Display for $name {
            /// The registered name, or the number in hexadecimal.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, concat!("0x{:0", $width, "x}"), self.0),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            /// Reads a registered name, or one of its usual short forms, ignoring ASCII case.
            ///
            /// # Errors
            ///
            /// `Config(UnknownName)`, naming the text, if there is no such entry.
            fn from_str(text: &str) -> $crate::Result<Self> {
                $(
                    if [$registered $(, $alias)*].iter().any(|name| name.eq_ignore_ascii_case(text)) {
                        return Ok(Self($value));
                    }
                )*
                Err($crate::Error::config(
                    $crate::ConfigProblem::UnknownName,
                    format!("there is no {} named {text:?}", $what),
                ))
            }
        }
    };
}
use registry;
