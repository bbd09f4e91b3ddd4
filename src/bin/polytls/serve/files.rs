//! Opening the files of one directory, and nothing outside it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// How often a lookup that raced with a rename is repeated.
const ATTEMPTS: usize = 4;

/// The directory that is served. The kernel keeps every lookup beneath it, so that neither `..` nor
/// a symbolic link leads out, whoever changes the tree meanwhile.
pub(super) struct Root {
    directory: OwnedFd,
}

/// What a path led to.
pub(super) enum Found {
    File(Regular),
    /// A directory asked for without the slash at the end.
    Directory,
}

/// A regular file, open for reading.
pub(super) struct Regular {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    /// The name, for guessing the media type.
    pub(super) name: PathBuf,
}

/// Why a path is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The path is no path.
    Malformed,
    /// It leads out of the directory, to something that is not a regular file, or may not be read.
    Forbidden,
    NotFound,
    /// Not now: too many files are open.
    Busy,
    /// The file system failed.
    Failed,
}

impl Root {
    /// Opens the directory.
    ///
    /// # Errors
    ///
    /// One sentence: it is not there, not a directory, or this system cannot confine lookups.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| format!("cannot serve {shown}: {error}"))?;
        let root = Self { directory };
        root.open_beneath(Path::new("."))
            .map_err(|error| match error {
                Errno::NOSYS => format!(
                    "cannot serve {shown}: the system lacks openat2 (Linux 5.6 or later has it), \
                     without which symbolic links could lead out of it"
                ),
                error => format!("cannot serve {shown}: {error}"),
            })?;
        Ok(root)
    }

    /// Looks up the path of a request target, still percent-encoded.
    pub(super) fn find(&self, target: &str) -> Result<Found, Refusal> {
        let path = decode(target)?;
        let wants_directory = target.ends_with('/');
        match self.find_regular(&path)? {
            Some(file) if wants_directory => {
                // "name/" of a file names something that does not exist.
                drop(file);
                Err(Refusal::NotFound)
            }
            Some(file) => Ok(Found::File(file)),
            None if !wants_directory => Ok(Found::Directory),
            None => match self.find_regular(&path.join("index.html"))? {
                Some(file) => Ok(Found::File(file)),
                None => Err(Refusal::NotFound),
            },
        }
    }

    /// A regular file, or `None` for a directory.
    fn find_regular(&self, path: &Path) -> Result<Option<Regular>, Refusal> {
        let fd = self.open_beneath(path).map_err(refusal)?;
        let file = File::from(fd);
        let metadata = file.metadata().map_err(|_| Refusal::Failed)?;
        if metadata.is_dir() {
            return Ok(None);
        }
        if !metadata.is_file() {
            return Err(Refusal::Forbidden);
        }
        Ok(Some(Regular {
            file,
            size: metadata.len(),
            modified: metadata.modified().ok(),
            name: path.to_owned(),
        }))
    }

    /// Not blocking: opening a FIFO would otherwise wait for its writer.
    #[cfg(target_os = "linux")]
    fn open_beneath(&self, path: &Path) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;

        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut attempt = 1;
        loop {
            match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, _path: &Path) -> Result<OwnedFd, Errno> {
        Err(Errno::NOSYS)
    }
}

/// The path beneath the root that a request target names.
fn decode(target: &str) -> Result<PathBuf, Refusal> {
    let bytes: Vec<u8> = percent_decode_str(target).collect();
    if !bytes.starts_with(b"/") || bytes.contains(&0) {
        return Err(Refusal::Malformed);
    }
    let mut path = PathBuf::from(".");
    for component in bytes.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Refusal::Forbidden),
            name => path.push(OsStr::from_bytes(name)),
        }
    }
    Ok(path)
}

fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => Refusal::NotFound,
        // XDEV: the lookup would have left the root. NXIO: a socket.
        Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            Refusal::Forbidden
        }
        Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM => Refusal::Busy,
        error => {
            let error = io::Error::from(error);
            tracing::warn!(%error, "a file cannot be opened");
            Refusal::Failed
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Tree {
        directory: tempfile::TempDir,
        root: Root,
    }

    /// `secret` lies beside the root, everything else in it.
    fn tree() -> Tree {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::write(base.join("secret"), "secret").unwrap();
        let served = base.join("root");
        fs::create_dir_all(served.join("sub")).unwrap();
        fs::create_dir_all(served.join("empty")).unwrap();
        fs::write(served.join("a b.txt"), "text").unwrap();
        fs::write(served.join("sub/index.html"), "index").unwrap();
        symlink("../secret", served.join("out")).unwrap();
        symlink(base.join("secret"), served.join("absolute")).unwrap();
        symlink("..", served.join("up")).unwrap();
        symlink("a b.txt", served.join("within")).unwrap();
        symlink("loop", served.join("loop")).unwrap();
        symlink("/proc/self/root", served.join("magic")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            served.join("fifo"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _ = std::os::unix::net::UnixListener::bind(served.join("socket")).unwrap();
        let root = Root::open(&served).unwrap();
        Tree { directory, root }
    }

    fn read(tree: &Tree, target: &str) -> Result<String, Refusal> {
        match tree.root.find(target)? {
            Found::Directory => Ok("directory".to_owned()),
            Found::File(found) => Ok(io::read_to_string(found.file).unwrap()),
        }
    }

    #[test]
    fn files_and_directories_are_found() {
        let tree = tree();
        assert_eq!(read(&tree, "/a%20b.txt").unwrap(), "text");
        assert_eq!(read(&tree, "//./a%20b.txt").unwrap(), "text");
        assert_eq!(read(&tree, "/within").unwrap(), "text");
        assert_eq!(read(&tree, "/sub/").unwrap(), "index");
        assert_eq!(read(&tree, "/sub").unwrap(), "directory");
        for missing in ["/nothing", "/empty/", "/", "/a%20b.txt/", "/a%20b.txt/x"] {
            assert_eq!(read(&tree, missing), Err(Refusal::NotFound), "{missing}");
        }
    }

    #[test]
    fn nothing_outside_the_root_is_reached() {
        let tree = tree();
        assert!(tree.directory.path().join("secret").exists());
        for outside in [
            "/../secret",
            "/%2e%2e/secret",
            "/%2e%2e%2fsecret",
            "/sub/../../secret",
            "/..",
            "/out",
            "/absolute",
            "/up/secret",
            "/up/",
            "/magic/etc/passwd",
            "/loop",
        ] {
            assert_eq!(read(&tree, outside), Err(Refusal::Forbidden), "{outside}");
        }
        for malformed in ["/%00", "/a%00b", "*", ""] {
            assert_eq!(
                read(&tree, malformed),
                Err(Refusal::Malformed),
                "{malformed}"
            );
        }
    }

    #[test]
    fn only_regular_files_are_served_and_a_fifo_does_not_hang() {
        let tree = tree();
        assert_eq!(read(&tree, "/fifo"), Err(Refusal::Forbidden));
        assert_eq!(read(&tree, "/socket"), Err(Refusal::Forbidden));
    }

    #[test]
    fn a_root_that_is_no_directory_is_named() {
        let tree = tree();
        let file = tree.directory.path().join("secret");
        let error = Root::open(&file).err().unwrap();
        assert!(
            error.contains("secret") && error.contains("ot a directory"),
            "{error}"
        );
    }
}
