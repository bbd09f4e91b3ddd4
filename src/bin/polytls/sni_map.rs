//! A directory with one PEM bundle for each server name.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use polytls::config::Roots;
use polytls::iana::AlertDescription;
use polytls::pki_types::DnsName;
use polytls::{ClientHello, DynContext};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::failure::Failure;
use crate::proxy::{Found, Lookup};

/// What the names of bundles end in.
const BUNDLE: &str = ".pem";

/// What the names of files end in that hold the roots for clients of a server.
const CLIENT_CA: &str = ".client-ca";

/// The bundle for clients that name no server, or one that has no bundle.
const DEFAULT: &str = "_default";

/// Makes a context of an identity's text, of its file for warnings, and of its own roots for
/// clients, if any.
pub(crate) type Make =
    Box<dyn Fn(&Path, &[u8], Option<Roots>) -> Result<Box<dyn DynContext>, Failure> + Send + Sync>;

/// Contexts by server name, from a directory; they can be replaced all at once.
pub(crate) struct SniMap {
    directory: PathBuf,
    make: Make,
    current: RwLock<Arc<Bundles>>,
    /// Held while bundles are read, so that the last to ask has the last word.
    reading: Mutex<()>,
}

/// Contexts by name, in lower case: a whole name, `*.` and a name, or [`DEFAULT`].
type Bundles = HashMap<String, Bundle>;

struct Bundle {
    digest: [u8; 32],
    context: Box<dyn DynContext>,
}

/// What a bundle is made of.
struct Files {
    bundle: (PathBuf, Vec<u8>),
    client_ca: Option<(PathBuf, Vec<u8>)>,
}

impl Files {
    fn read(bundle: PathBuf, client_ca: Option<PathBuf>) -> Result<Self, Failure> {
        let read = |path: PathBuf| match read_file(&path) {
            Ok(text) => Ok((path, text)),
            Err(error) => Err(cannot_be_read(&path, &error)),
        };
        Ok(Self {
            bundle: read(bundle)?,
            client_ca: client_ca.map(read).transpose()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        let client_ca = self.client_ca.as_ref().map(|(_, text)| text);
        for text in [Some(&self.bundle.1), client_ca].into_iter().flatten() {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }

    fn context(&self, make: &Make) -> Result<Box<dyn DynContext>, Failure> {
        let about = |file: &Path, failure: Failure| failure.about(file.display());
        let client_ca = self
            .client_ca
            .as_ref()
            .map(|(file, text)| Roots::from_pem(text).map_err(|error| about(file, error.into())));
        let (file, text) = &self.bundle;
        make(file, text, client_ca.transpose()?).map_err(|failure| about(file, failure))
    }
}

impl SniMap {
    /// Reads all bundles.
    ///
    /// # Errors
    ///
    /// The directory, or any file in it, cannot be used.
    pub(crate) fn open(directory: &Path, make: Make) -> Result<Self, Failure> {
        let map = Self {
            directory: directory.to_owned(),
            make,
            current: RwLock::default(),
            reading: Mutex::new(()),
        };
        let bundles = map.read(&Bundles::new())?;
        info!(directory = %directory.display(), bundles = bundles.len(), "certificates read");
        map.replace(bundles);
        Ok(map)
    }

    fn current(&self) -> Arc<Bundles> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, bundles: Bundles) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bundles);
    }

    /// All bundles there are now. One whose files are what they were keeps its context, and with it
    /// the sessions that can be resumed.
    fn read(&self, known: &Bundles) -> Result<Bundles, Failure> {
        let mut client_ca = self.files(CLIENT_CA)?;
        let mut bundles = Bundles::new();
        for (name, file) in self.files(BUNDLE)? {
            let files = Files::read(file, client_ca.remove(&name))?;
            let digest = files.digest();
            let context = match known.get(&name) {
                Some(bundle) if bundle.digest == digest => bundle.context.clone(),
                _ => files.context(&self.make)?,
            };
            bundles.insert(name, Bundle { digest, context });
        }
        if let Some(file) = client_ca.values().next() {
            return Err(Failure::new(format!(
                "{} belongs to no bundle: there is no {BUNDLE} file of that name",
                file.display()
            )));
        }
        if bundles.is_empty() {
            return Err(Failure::new(format!(
                "{} holds no bundle: name one after its server, as www.example.com{BUNDLE}, or \
                 {DEFAULT}{BUNDLE}",
                self.directory.display()
            )));
        }
        Ok(bundles)
    }

    /// The files of the directory that end in this, by the names they are for.
    fn files(&self, extension: &str) -> Result<BTreeMap<String, PathBuf>, Failure> {
        let failed = |error| cannot_be_read(&self.directory, &error);
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let Some(name) = server_name(&path, extension)? else {
                continue;
            };
            if let Some(other) = files.insert(name, path.clone()) {
                let mut both = [other, path];
                both.sort();
                let [first, second] = both.map(|file| file.display().to_string());
                return Err(Failure::new(format!(
                    "{first} and {second} are for the same server name"
                )));
            }
        }
        Ok(files)
    }
}

impl Lookup for SniMap {
    fn find(&self, hello: &ClientHello) -> Found {
        let bundles = self.current();
        let bundle = hello.server_name().and_then(|name| named(&bundles, name));
        match bundle.or_else(|| bundles.get(DEFAULT)) {
            Some(bundle) => Ok(bundle.context.clone()),
            None => Err(AlertDescription::UNRECOGNIZED_NAME),
        }
    }

    fn reload(&self) {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.current();
        match self.read(&known) {
            Ok(bundles) => {
                let is_new = |(name, bundle): &(&String, &Bundle)| {
                    known
                        .get(*name)
                        .is_none_or(|old| old.digest != bundle.digest)
                };
                let new = bundles.iter().filter(is_new).count();
                info!(bundles = bundles.len(), new, "certificates read again");
                self.replace(bundles);
            }
            Err(failure) => warn!(%failure, "certificates not read again; the old ones stay"),
        }
    }
}

/// The bundle of this very name, or of the wildcard in whose place its first label stands.
fn named<'a>(bundles: &'a Bundles, name: &str) -> Option<&'a Bundle> {
    bundles.get(name).or_else(|| {
        let (_, parent) = name.split_once('.')?;
        bundles.get(&format!("*.{parent}"))
    })
}

/// The name that a file is for, in lower case; `None` if it does not end in this, or is hidden.
fn server_name(path: &Path, extension: &str) -> Result<Option<String>, Failure> {
    let file_name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let file_name = file_name.to_ascii_lowercase();
    if file_name.starts_with(b".") {
        return Ok(None);
    }
    let Some(name) = file_name.strip_suffix(extension.as_bytes()) else {
        return Ok(None);
    };
    let parent = name.strip_prefix(b"*.").unwrap_or(name);
    let is_name = !parent.ends_with(b".") && DnsName::try_from(parent).is_ok();
    match String::from_utf8(name.to_vec()) {
        Ok(name) if name == DEFAULT || is_name => Ok(Some(name)),
        _ => Err(Failure::new(format!(
            "{} is not named after a server, as www.example.com{extension}, \
             *.example.com{extension} or {DEFAULT}{extension}",
            path.display()
        ))),
    }
}

/// Reads a file, or one that a link leads to. A pipe has no end until somebody writes to it, and some
/// devices have none at all: a reload that read them would never come back, nor would any after it.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    fs::read(path)
}

fn cannot_be_read(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{} cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use polytls::config::ClientAuthentication;
    use polytls::{ClientConfig, ClientHelloReader, ServerConfig, SessionOptions};

    use super::*;
    use crate::args::IdentityArgs;
    use crate::setup;

    /// A directory of bundles, of which the texts are arbitrary, and how many contexts were made.
    struct Trial {
        directory: tempfile::TempDir,
        made: Arc<AtomicUsize>,
    }

    impl Trial {
        fn new(files: &[&str]) -> Self {
            let trial = Self {
                directory: tempfile::tempdir().unwrap(),
                made: Arc::default(),
            };
            for file in files {
                trial.write(file, "text");
            }
            trial
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.directory.path().join(file), text).unwrap();
        }

        fn remove(&self, file: &str) {
            fs::remove_file(self.directory.path().join(file)).unwrap();
        }

        fn open(&self) -> Result<SniMap, String> {
            let made = Arc::clone(&self.made);
            let identity = setup::identity(&IdentityArgs {
                cert: None,
                key: None,
                self_signed: Some("a.example".to_owned()),
                sni_map: None,
            });
            let identity = identity.unwrap();
            let backend = backend();
            let make = move |_: &Path, text: &[u8], client_ca: Option<Roots>| {
                if text == b"bad" {
                    return Err(Failure::new("it is bad"));
                }
                made.fetch_add(1, Relaxed);
                let mut config = ServerConfig::new(identity.clone());
                if let Some(roots) = client_ca {
                    config.client_authentication = ClientAuthentication::Required(roots);
                }
                Ok(backend.server(config)?)
            };
            let map = SniMap::open(self.directory.path(), Box::new(make));
            map.map_err(|failure| failure.to_string())
        }

        fn refusal(&self) -> String {
            self.open().err().expect("it must be refused")
        }
    }

    fn backend() -> Box<dyn polytls::DynBackend> {
        polytls::backend(polytls::backend_names()[0]).unwrap()
    }

    fn hello(name: &str) -> ClientHello {
        let mut config = ClientConfig::new(Roots::default());
        config.dangerous.accept_any_certificate = true;
        let context = backend().client(config).unwrap();
        let options = SessionOptions::to_server(name).unwrap();
        let mut session = context.buffer_session(options).unwrap();
        let mut output = vec![0; 16 * 1024];
        let sent = session.handshake(&mut [], &mut output).unwrap().produced;
        let mut reader = ClientHelloReader::new();
        reader.read(&output[..sent]).unwrap();
        reader.finish().unwrap().unwrap()
    }

    fn is_found(map: &SniMap, name: &str) -> bool {
        match map.find(&hello(name)) {
            Ok(_) => true,
            Err(alert) => {
                assert_eq!(alert, AlertDescription::UNRECOGNIZED_NAME);
                false
            }
        }
    }

    #[test]
    fn names_are_exact_and_wildcards_stand_for_one_label() {
        let trial = Trial::new(&["A.Example.pem", "*.wild.example.PEM", "notes.txt", ".b.pem"]);
        let map = trial.open().unwrap();
        assert_eq!(trial.made.load(Relaxed), 2);
        for name in ["a.example", "A.EXAMPLE", "any.wild.example"] {
            assert!(is_found(&map, name), "{name}");
        }
        for name in [
            "b.example",
            "sub.a.example",
            "example",
            "wild.example",
            "two.labels.wild.example",
            "127.0.0.1",
        ] {
            assert!(!is_found(&map, name), "{name}");
        }
        trial.write("_default.pem", "text");
        map.reload();
        assert!(is_found(&map, "b.example") && is_found(&map, "127.0.0.1"));
    }

    #[test]
    fn the_exact_name_comes_before_the_wildcard_and_the_wildcard_before_the_default() {
        let trial = Trial::new(&["a.wild.example.pem", "*.wild.example.pem", "_default.pem"]);
        let map = trial.open().unwrap();
        let bundles = map.current();
        let digest = |name| named(&bundles, name).map(|bundle| bundle.digest);
        assert_eq!(
            digest("a.wild.example"),
            Some(bundles["a.wild.example"].digest)
        );
        assert_eq!(
            digest("b.wild.example"),
            Some(bundles["*.wild.example"].digest)
        );
        assert_eq!(digest("other.example"), None);
    }

    #[test]
    fn directories_that_cannot_be_meant_are_refused() {
        let refusals = [
            (&[][..], "holds no bundle"),
            (&["notes.txt"], "holds no bundle"),
            (
                &["a.example.pem", "A.example.pem"],
                "for the same server name",
            ),
            (&["127.0.0.1.pem"], "not named after a server"),
            (&["two words.pem"], "not named after a server"),
            (&["a.example..pem"], "not named after a server"),
            (&["*.pem"], "not named after a server"),
            (&["*.*.example.pem"], "not named after a server"),
            (&[".pem"], "holds no bundle"),
            (
                &["a.example.pem", "b.example.client-ca"],
                "belongs to no bundle",
            ),
            (
                &["a.example.pem", "a.example.client-ca"],
                "a.example.client-ca",
            ),
        ];
        for (files, expected) in refusals {
            let refusal = Trial::new(files).refusal();
            assert!(refusal.contains(expected), "{files:?}: {refusal}");
        }
        let missing = SniMap::open(
            Path::new("/no/such/directory"),
            Box::new(|_, _, _| unreachable!()),
        );
        let missing = missing.err().unwrap().to_string();
        assert!(missing.contains("/no/such/directory"), "{missing}");
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        for extension in [BUNDLE, CLIENT_CA] {
            let trial = Trial::new(&["a.example.pem"]);
            let name = format!("b.example{extension}");
            let path = trial.directory.path().join(&name);
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
            if extension == CLIENT_CA {
                trial.write("b.example.pem", "text");
            }
            let refusal = trial.refusal();
            assert!(refusal.contains(&name), "{refusal}");
            assert!(refusal.contains("not a file"), "{refusal}");
        }
        // A link is followed, to a file.
        let trial = Trial::new(&["kept"]);
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, trial.directory.path().join(name)).unwrap();
        };
        link(&trial.directory.path().join("kept"), "a.example.pem");
        assert!(is_found(&trial.open().unwrap(), "a.example"));
        link(Path::new("/dev/null"), "b.example.pem");
        assert!(trial.refusal().contains("not a file"));
    }

    #[test]
    fn a_reload_is_all_or_nothing_and_keeps_what_has_not_changed() {
        let trial = Trial::new(&["a.example.pem", "b.example.pem"]);
        let map = trial.open().unwrap();
        assert_eq!(trial.made.load(Relaxed), 2);
        map.reload();
        assert_eq!(trial.made.load(Relaxed), 2, "nothing has changed");
        trial.write("b.example.pem", "another text");
        trial.write("c.example.pem", "bad");
        map.reload();
        assert!(is_found(&map, "b.example") && !is_found(&map, "c.example"));
        let before = map.current()["b.example"].digest;
        trial.remove("c.example.pem");
        trial.remove("a.example.pem");
        map.reload();
        assert_ne!(map.current()["b.example"].digest, before);
        assert!(!is_found(&map, "a.example"));
    }
}
