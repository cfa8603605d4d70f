//! Unix sockets of the operating system: their names, and the files that paths leave in a directory.
//!
//! It knows how a name is bound without a race, taken over from the dead and removed when it is ours. It does not know
//! bytes: a Unix stream is received from and sent to as a TCP stream is.
//!
//! ```text
//!  bind ── in use ─▶ a socket? ─ no ──▶ error
//!                       │ yes
//!                    someone bound to it? ─ yes ─▶ error
//!                       │ no
//!                    lock the directory, ask again, remove, bind
//! ```

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix};
use socket2::{Domain, Socket, Type};

use super::options;
use crate::addr::{Addr, UnixAddr};
use crate::options::{Options, Transport};
use crate::socket::Credentials;

/// How often the lock of a directory is tried, and how long the pauses between are: who holds it does so for a few
/// system calls.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(1);

/// How often a name that was removed may be taken by someone else before we are.
const TAKE_OVERS: u32 = 3;

/// How long a `sockaddr_un` is: the family, and a name with its zero byte.
const NAME_BYTES_MAX: usize = 2 + UnixAddr::LEN_MAX + 1;

/// What options there are.
pub(super) const OPTIONS: options::Kind = options::Kind { transport: Transport::Unix, is_v6: false };

/// A path that we bound: the file goes when this does, if it is still the one.
#[derive(Debug)]
pub(super) struct Name {
    /// Absolute: the directory that the process is in may change.
    path: PathBuf,
    file: FileId,
}

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct FileId {
    device: u64,
    inode: u64,
}

/// What is found at a path.
enum Found {
    Nothing,
    /// A socket that nobody is bound to any more.
    Dead,
}

/// A socket that does not block.
pub(super) fn open(kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    socket.set_nonblocking(true)?;
    #[cfg(target_vendor = "apple")]
    socket.set_nosigpipe(true)?;
    Ok(socket)
}

/// Connects a stream. It is done at once or not at all: `WouldBlock` is a backlog that is full, of which no event will
/// tell that it is not any more.
pub(super) fn connect(to: &UnixAddr, how: &Options) -> io::Result<OwnedFd> {
    let socket = open(Type::STREAM)?;
    options::set(&socket, OPTIONS, how)?;
    match rustix::net::connect(&socket, &to_system(to)?) {
        Ok(()) => Ok(socket.into()),
        Err(error) => Err(about(to, error)),
    }
}

/// Binds `socket` to `addr`; a path gets the permissions `mode`, and is never open to more than that.
pub(super) fn bind(socket: &Socket, addr: &UnixAddr, mode: u32) -> io::Result<Option<Name>> {
    let at = to_system(addr)?;
    let Some(path) = addr.as_path() else {
        rustix::net::bind(socket, &at).map_err(|error| about(addr, error))?;
        return Ok(None);
    };
    if mode > 0o777 {
        let message =
            format!("{addr}: permissions are 0o777 at most, and these are {mode:#o}, in decimal {mode}");
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    }
    let file = bind_path(socket, &at, addr, path, mode)?;
    let name = Name { path: std::path::absolute(path)?, file: FileId::of(&file) };
    if file.mode() & 0o777 != mode {
        // The umask took more than was asked for. Nobody can connect before the socket listens.
        name.set_mode(mode).map_err(|error| about(addr, error))?;
    }
    Ok(Some(name))
}

/// Binds to a path, whose file has no permissions that are not in `mode`.
fn bind_path(
    socket: &Socket,
    at: &SocketAddrUnix,
    addr: &UnixAddr,
    path: &Path,
    mode: u32,
) -> io::Result<Metadata> {
    // The new file takes its permissions from the socket, less those in the umask, which is the whole process's and
    // not ours to change.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if !wrong!(UnixModeLate) {
        rustix::fs::fchmod(socket, Mode::from_bits_truncate(mode))?;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = mode;
    match rustix::net::bind(socket, at) {
        Ok(()) => {}
        Err(Errno::ADDRINUSE) => take_over(socket, at, addr, path)?,
        Err(error) => return Err(about(addr, error)),
    }
    look(path).map_err(|error| about(addr, error))
}

/// Binds to a path that is in use, if only by what a process left behind that is gone.
fn take_over(socket: &Socket, at: &SocketAddrUnix, addr: &UnixAddr, path: &Path) -> io::Result<()> {
    find(at, addr, path)?;
    // Of two that start at once and find the same dead socket, the second must not remove what the first has bound
    // meanwhile. Nothing of the lock stays behind.
    let _lock = lock_directory(path).map_err(|error| {
        let message =
            format!("{addr} is left over, and its directory cannot be locked to remove it safely: {error}");
        io::Error::new(ErrorKind::AddrInUse, message)
    })?;
    for _ in 0..TAKE_OVERS {
        match find(at, addr, path)? {
            Found::Nothing => {}
            Found::Dead => {
                log::info!("{addr} was left over by a process that is gone: it is removed");
                std::fs::remove_file(path).map_err(|error| about(addr, error))?;
            }
        }
        match rustix::net::bind(socket, at) {
            Ok(()) => return Ok(()),
            Err(Errno::ADDRINUSE) => {}
            Err(error) => return Err(about(addr, error)),
        }
    }
    Err(about(addr, Errno::ADDRINUSE))
}

/// Says what stands in the way of a bind, if it may be removed.
fn find(at: &SocketAddrUnix, addr: &UnixAddr, path: &Path) -> io::Result<Found> {
    let in_use =
        |why: &str| io::Error::new(ErrorKind::AddrInUse, format!("{addr} cannot be bound to: {why}"));
    let file = match look(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(about(addr, error)),
    };
    if !file.file_type().is_socket() {
        return Err(in_use("there is a file, and it is no socket"));
    }
    // A datagram socket asks without being noticed: whoever is bound, listening already or not yet, is of another
    // type or takes it, and nobody has a connection to accept.
    let probe = open(Type::DGRAM)?;
    match rustix::net::connect(&probe, at) {
        Err(Errno::CONNREFUSED) => Ok(Found::Dead),
        Err(Errno::NOENT) => Ok(Found::Nothing),
        Ok(()) | Err(Errno::PROTOTYPE | Errno::PERM) if wrong!(UnixLiveRemoved) => Ok(Found::Dead),
        Ok(()) | Err(Errno::PROTOTYPE | Errno::PERM) => Err(in_use("another socket has that name")),
        Err(error) => {
            Err(in_use(&format!("there is a socket, and whether it is in use is unknown: {error}")))
        }
    }
}

/// Keeps others who take a socket over out of the directory of `path`, as long as the descriptor is open.
fn lock_directory(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = rustix::fs::open(
        directory,
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC),
        Mode::empty(),
    )?;
    for _ in 1..LOCK_TRIES {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    Ok(directory)
}

fn look(path: &Path) -> io::Result<Metadata> {
    std::fs::symlink_metadata(path)
}

impl FileId {
    fn of(file: &Metadata) -> FileId {
        FileId { device: file.dev(), inode: file.ino() }
    }
}

impl Name {
    /// Sets the permissions of the file, and of no other that has come into its place.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::PermissionsExt;

        let file = rustix::fs::open(
            &self.path,
            OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC),
            Mode::empty(),
        )?;
        let file = std::fs::File::from(file);
        if FileId::of(&file.metadata()?) != self.file {
            return Err(ErrorKind::NotFound.into());
        }
        // Through the descriptor: the system changes permissions by a path only, and follows links.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;

        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(mode))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        match look(&self.path) {
            Ok(file) if FileId::of(&file) == self.file || wrong!(UnixForeignRemoved) => {}
            // Removed by someone, and perhaps bound by another since.
            Ok(_) | Err(_) => return,
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::warn!("{} stays behind: {error}", self.path.display());
        }
    }
}

/// Who is at the other end, as the system knew it when the connection was made.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn credentials(socket: impl AsFd) -> io::Result<Credentials> {
    if rustix::net::sockopt::socket_domain(&socket)? != rustix::net::AddressFamily::UNIX {
        return Err(io::Error::new(
            ErrorKind::Unsupported,
            "only Unix sockets know who is at their other end",
        ));
    }
    // Of a Unix socket the system always has an answer. The number of a process that is not to be seen from here is 0,
    // which `rustix` has no room for, and takes for an error, whatever its number.
    let of_peer = rustix::net::sockopt::socket_peercred(&socket).map_err(|_| {
        io::Error::new(ErrorKind::Unsupported, "the peer is not a process that is visible from here")
    })?;
    let pid = u32::try_from(of_peer.pid.as_raw_nonzero().get()).ok();
    Ok(Credentials { pid, uid: of_peer.uid.as_raw(), gid: of_peer.gid.as_raw() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn credentials(_: impl AsFd) -> io::Result<Credentials> {
    Err(io::Error::new(ErrorKind::Unsupported, "who is at the other end is only asked on Linux so far"))
}

/// A name as the system wants it.
pub(super) fn to_system(addr: &UnixAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = addr.as_path() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = addr.as_abstract_name() {
        return Ok(SocketAddrUnix::new_abstract_name(name)?);
    }
    let message = format!("{addr} is no name of a Unix socket on this system");
    Err(io::Error::new(ErrorKind::Unsupported, message))
}

/// A name as the system has it. A path of [`UnixAddr::LEN_MAX`] bytes and one more is none: Linux lets a peer bind to it
/// and tells its zero byte, too, for which `sockaddr_un` has no room, and `rustix` would look for it there.
#[cold]
pub(super) fn from_system(addr: SocketAddrAny) -> Addr {
    if usize::try_from(addr.addr_len()).is_ok_and(|len| len > NAME_BYTES_MAX) {
        return Addr::Unnamed;
    }
    let Ok(addr) = SocketAddrUnix::try_from(addr) else { return Addr::Unnamed };
    if let Some(path) = addr.path_bytes() {
        return name_path(path);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = addr.abstract_name() {
        return name_abstract(name);
    }
    Addr::Unnamed
}

/// The same, as `socket2` has it.
pub(super) fn name(addr: &socket2::SockAddr) -> Addr {
    if let Some(path) = addr.as_pathname() {
        return name_path(path.as_os_str().as_bytes());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = addr.as_abstract_namespace() {
        return name_abstract(name);
    }
    Addr::Unnamed
}

fn name_path(path: &[u8]) -> Addr {
    UnixAddr::from_path(OsStr::from_bytes(path)).map_or(Addr::Unnamed, Addr::Unix)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn name_abstract(name: &[u8]) -> Addr {
    UnixAddr::from_abstract_name(name).map_or(Addr::Unnamed, Addr::Unix)
}

/// An error that says which name it is about.
pub(super) fn about(addr: &UnixAddr, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{addr}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // K8: not for a moment is the path open to anyone who is not let in.
    #[test]
    fn k8_a_path_has_its_permissions_from_the_first_moment() {
        let directory = std::env::temp_dir().join(format!("switchboard-k8-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a directory of our own");
        for mode in [0o600, 0o000, 0o620, 0o666] {
            let path = directory.join("socket");
            let addr = UnixAddr::from_path(&path).expect("short enough");
            let socket = open(Type::STREAM).expect("a socket");
            let at = to_system(&addr).expect("a name");
            let file = bind_path(&socket, &at, &addr, &path, mode).expect("bound");
            assert_eq!(file.mode() & 0o777 & !mode, 0, "{mode:o}: {:o}", file.mode());
            std::fs::remove_file(&path).expect("it was bound");
        }
        std::fs::remove_dir(&directory).expect("it is empty");
    }

    // K8: a process that is not visible from here has the number 0, as one has that never was.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn k8_a_peer_without_a_process_has_no_credentials() {
        let nobody = open(Type::STREAM).expect("a socket");
        let error = credentials(&nobody).expect_err("nobody is connected");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}
