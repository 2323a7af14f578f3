//! Starts, shares and stops a private server.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcetera::BaseStrategy;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::kill;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, User, geteuid, mkfifo};

use crate::{Binaries, Error};

/// `initdb` takes a second on a quiet machine and much more on a busy one.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long a server whose last user has gone may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often the server's state file is looked at while it starts or stops.
const POLL: Duration = Duration::from_millis(10);
/// The longest path of a Unix socket is 107 bytes, and the server appends `/.s.PGSQL.5432`.
const MAX_SOCKET_FOLDER: usize = 90;
/// How the names of data folders begin that `initdb` is not done with.
const UNFINISHED: &str = "data.new";

/// Part of the socket's name. Said on both sides, because PGPORT of the environment would decide otherwise.
const PORT: u16 = 5432;

/// Runs the server until the last writer of the pipe is gone: $1 pipe, $2 folder to remove or nothing, then the
/// server's command line. A server that somebody stops or kills before that is started again: its users find it as soon as
/// they ask. One that never came up is not: its log says why.
const SUPERVISOR: &str = r#"
pipe=$1; remove=$2; shift 2
exec 3<"$pipe"
ended= server=
stop() {
  ended=yes
  # Before the server has set up its own handling it ignores INT, as children of a shell do, and TERM ends it; afterwards
  # INT is the one that does not wait for clients.
  [ -z "$server" ] || { kill -TERM "$server"; kill -INT "$server"; } 2>/dev/null
}
trap stop USR1
{ cat <&3 >/dev/null; kill -USR1 $$; } &
starts=0 status=0
while [ -z "$ended" ] && [ "$starts" -lt 100 ]; do
  starts=$((starts + 1))
  "$@" &
  server=$!
  [ -z "$ended" ] || stop
  wait "$server"
  status=$?
  # It returns for the signal as well.
  while kill -0 "$server" 2>/dev/null; do wait "$server"; status=$?; done
  # One that ends by itself the first time has said why; 0 and signals are somebody who stopped or killed it.
  [ "$starts" -gt 1 ] || [ "$status" = 0 ] || [ "$status" -gt 128 ] || break
  # What is left of a server that was killed needs a moment to notice.
  [ -n "$ended" ] || sleep 0.2
done
exec 3<&-
[ -z "$remove" ] || rm -rf "$remove"
"#;

/// Removes the folder of a server that was never begun, because its first user was interrupted: $1 pipe, $2 folder.
/// Once there is a data folder, the supervisor sees to it.
const CLEANER: &str = r#"
cat <"$1" >/dev/null
[ -d "$2/data" ] || rm -rf "$2"
"#;

/// A running private server. It runs as long as any process holds one of these for its folder.
#[derive(Debug)]
pub struct Server {
    folder: Folder,
    binaries: Binaries,
    /// The open pipe is what keeps the server alive.
    _holder: File,
}

impl Server {
    /// The server whose data is kept in `folder`, started when it is not running yet.
    ///
    /// # Errors
    /// When the machine has no PostgreSQL, the folder cannot be used, or the server does not start.
    pub fn persistent(folder: &Path) -> Result<Self, Error> {
        let folder = Folder::open(folder, None, PORT)?;
        let binaries = Binaries::find_for(folder.version().as_deref())?;
        Self::enter(&folder, &binaries, &[])
    }

    /// A server of its own in a temporary folder that vanishes with it.
    ///
    /// # Errors
    /// When the machine has no PostgreSQL or the server does not start.
    pub fn throwaway() -> Result<Self, Error> {
        Self::throwaway_with(PORT, &[])
    }

    /// One that listens on this port of 127.0.0.1 as well, for what does not go over a Unix socket: TLS.
    ///
    /// # Errors
    /// As [`Self::throwaway`], and when somebody else listens there.
    pub fn throwaway_on(port: u16) -> Result<Self, Error> {
        Self::throwaway_with(port, &["listen_addresses=127.0.0.1"])
    }

    fn throwaway_with(port: u16, settings: &[&str]) -> Result<Self, Error> {
        let binaries = Binaries::find()?;
        let folder = tempfile::Builder::new()
            .prefix("mergeline-")
            .tempdir()
            .map_err(io_error("cannot make a temporary folder"))?
            .keep();
        let folder = Folder::open(&folder, Some(folder.clone()), port)?;
        // Nothing of it has to survive, so nothing waits for the disk.
        let no_durability = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=256MB"];
        Self::enter(&folder, &binaries, &[&no_durability, settings].concat())
    }

    /// The programs that the server runs by, `pg_dump` and `psql` of the same version among them.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder.root
    }

    /// Whether it answers. One that was killed is started again by its supervisor, unless that was killed as well:
    /// then [`Self::persistent`] starts another one.
    pub fn answers(&self) -> bool {
        self.folder.answers() && self.folder.stopped_process().is_none()
    }

    /// The URL of a database on this server, for its Unix socket.
    pub fn url(&self, database: &str) -> String {
        let socket: String = self.folder.socket.to_string_lossy().bytes().map(percent_encoded).collect();
        format!("postgres://postgres@localhost:{}/{database}?host={socket}", self.folder.port)
    }

    fn enter(folder: &Folder, binaries: &Binaries, settings: &[&str]) -> Result<Self, Error> {
        let deadline = Instant::now() + START_WITHIN;
        while Instant::now() < deadline {
            let lock = folder.lock()?;
            match folder.join()? {
                Some(_) if let Some(stopped) = folder.stopped() => return Err(stopped),
                Some(holder) if folder.is_ready() && folder.answers() => {
                    return Ok(Self { folder: folder.clone(), binaries: binaries.clone(), _holder: holder });
                }
                // Everybody who watched was killed, but for the one that reads from the pipe. It keeps the old one.
                Some(_) if folder.is_abandoned() => {
                    fs::remove_file(folder.pipe()).map_err(io_error("cannot remove an abandoned pipe"))?;
                }
                // Starting or stopping under another process's eyes: come back when it is done.
                Some(_) => {}
                // The server itself inherits the pipe's reading end: without a reader there is no server either.
                None => return folder.start(binaries, settings, deadline),
            }
            drop(lock);
            sleep(POLL);
        }
        Err(folder.not_ready())
    }
}

/// The private data folder of a machine, for those who keep, move or remove what is in it.
#[derive(Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder of [`Server::persistent`], which need not exist.
    pub fn new(folder: &Path) -> Self {
        Self(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The major version of PostgreSQL that made the data, `None` when there is none.
    pub fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.0.join("data/PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Removes it with all data. `false` when there is nothing.
    ///
    /// # Errors
    /// [`Error::InUse`] while a command uses it, and when the file system refuses.
    pub fn remove(&self) -> Result<bool, Error> {
        if !self.0.exists() {
            return Ok(false);
        }
        let folder = Folder::open(&self.0, None, PORT)?;
        let _lock = folder.lock()?;
        // The last user may have gone a moment ago.
        let deadline = Instant::now() + STOP_WITHIN;
        while folder.join()?.is_some() {
            if let Some(stopped) = folder.stopped() {
                return Err(stopped);
            }
            if Instant::now() > deadline {
                return Err(Error::InUse { folder: self.0.display().to_string() });
            }
            sleep(POLL);
        }
        fs::remove_dir_all(&self.0).map_err(io_error(format!("cannot remove {}", self.0.display())))?;
        if folder.socket != folder.root {
            let _ = fs::remove_dir_all(&folder.socket);
        }
        Ok(true)
    }
}

fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// The folder of one server: its data, its pipe, its socket, its log.
#[derive(Debug, Clone)]
struct Folder {
    root: PathBuf,
    socket: PathBuf,
    port: u16,
    remove: Option<PathBuf>,
    /// The account that runs the server, when this process is root.
    account: Option<(u32, u32)>,
}

impl Folder {
    fn open(root: &Path, remove: Option<PathBuf>, port: u16) -> Result<Self, Error> {
        let cannot = || io_error(format!("cannot use the folder {}", root.display()));
        // The server writes it into a file of lines.
        if root.as_os_str().as_bytes().iter().any(u8::is_ascii_control) {
            let control =
                io::Error::new(io::ErrorKind::InvalidInput, "its name has a line break or another control character");
            return Err(cannot()(control));
        }
        fs::create_dir_all(root).map_err(cannot())?;
        let root = root.canonicalize().map_err(cannot())?;
        let account = server_account()?;
        let socket = if suits_a_socket(&root) { root.clone() } else { short_folder(&root)? };
        for folder in [&root, &socket] {
            private(folder, account).map_err(cannot())?;
        }
        Ok(Self { root, socket, port, remove, account })
    }

    fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The major version that made the data, `None` when there is none yet.
    fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    fn pipe(&self) -> PathBuf {
        self.root.join("users")
    }

    /// One process at a time decides whether the server must be started. Released when the value goes.
    fn lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        let lock = File::create(&path).map_err(io_error(format!("cannot write {}", path.display())))?;
        lock.lock().map_err(io_error(format!("cannot lock {}", path.display())))?;
        Ok(lock)
    }

    /// Becomes a user of the running server. `None` when no supervisor reads from the pipe.
    fn join(&self) -> Result<Option<File>, Error> {
        // Without `O_NONBLOCK` opening a pipe that nobody reads would wait for a reader.
        let nonblocking = OFlag::O_NONBLOCK.bits();
        match OpenOptions::new().write(true).custom_flags(nonblocking).open(self.pipe()) {
            Ok(holder) => Ok(Some(holder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(None),
            Err(error) => Err(io_error(format!("cannot open {}", self.pipe().display()))(error)),
        }
    }

    /// The lines of `postmaster.pid`: the first is the process, the eighth its state.
    fn state(&self) -> Vec<String> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn is_ready(&self) -> bool {
        self.state().get(7).is_some_and(|state| state == "ready")
    }

    /// Whether neither the server nor its supervisor is there, although somebody still reads from the pipe.
    fn is_abandoned(&self) -> bool {
        let supervisor = fs::read_to_string(self.supervisor()).unwrap_or_default();
        let is_gone = |process: &str| {
            process.trim().parse().is_ok_and(|process| kill(Pid::from_raw(process), None) == Err(Errno::ESRCH))
        };
        let server = self.state();
        is_gone(&supervisor) && server.first().is_none_or(|server| is_gone(server))
    }

    /// The server's process, where a signal has stopped it: it is there, and does nothing.
    fn stopped_process(&self) -> Option<String> {
        self.state().into_iter().next().filter(|process| is_stopped(process) && self.answers())
    }

    fn stopped(&self) -> Option<Error> {
        Some(Error::Stopped { folder: self.root.display().to_string(), process: self.stopped_process()? })
    }

    /// The file with the number of the supervisor's process.
    fn supervisor(&self) -> PathBuf {
        self.root.join("supervisor")
    }

    /// Whether somebody listens: the state file of a server that was killed still says that it is ready. The system takes
    /// connections for one that was stopped too.
    fn answers(&self) -> bool {
        UnixStream::connect(self.socket.join(format!(".s.PGSQL.{}", self.port))).is_ok()
    }

    fn start(&self, binaries: &Binaries, settings: &[&str], deadline: Instant) -> Result<Server, Error> {
        if !self.pipe().exists() {
            let failed = |errno: Errno| io_error(format!("cannot make {}", self.pipe().display()))(errno.into());
            mkfifo(&self.pipe(), Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed)?;
            private(&self.pipe(), self.account).map_err(io_error("cannot hand over the pipe"))?;
        }
        // Open in both directions, so that neither this process nor the supervisor waits for the other.
        let starter = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.pipe())
            .map_err(io_error(format!("cannot open {}", self.pipe().display())))?;
        self.clean_up_if_interrupted()?;
        self.initialise(binaries)?;
        // A state file left behind by a crash would look like a server that is ready.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let mut supervisor = self.spawn(binaries, settings)?;
        while Instant::now() < deadline {
            if supervisor.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(Error::Command { command: "postgres", output: self.end_of_log() });
            }
            // Only the supervisor's end may count as a reader from now on, or a later process would take
            // this one's end for a running server.
            if self.is_ready()
                && let Some(holder) = self.join()?
            {
                drop(starter);
                // One that is killed must not look alive to others for as long as this process, its parent, lives.
                std::thread::spawn(move || supervisor.wait());
                return Ok(Server { folder: self.clone(), binaries: binaries.clone(), _holder: holder });
            }
            sleep(POLL);
        }
        Err(self.not_ready())
    }

    fn clean_up_if_interrupted(&self) -> Result<(), Error> {
        let Some(folder) = &self.remove else { return Ok(()) };
        let mut command = self.command("/bin/sh");
        command.args(["-c", CLEANER, "mergeline-cleaner"]).arg(self.pipe()).arg(folder);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(io_error("cannot start /bin/sh"))?;
        Ok(())
    }

    /// Makes the data folder in one step: a crash half-way leaves nothing that looks finished.
    fn initialise(&self, binaries: &Binaries) -> Result<(), Error> {
        if let Some(found) = self.version() {
            if found != binaries.version().to_string() {
                let (folder, installed) = (self.root.display().to_string(), binaries.version());
                return Err(Error::OtherVersion { folder, found, installed });
            }
            return Ok(());
        }
        // An `initdb` whose starter was killed may still write into its own: each has one of another name.
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let unfinished = self.unfinished()?;
        let output = self
            .command(binaries.path("initdb"))
            .arg("--pgdata")
            .arg(&unfinished)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .process_group(0)
            .stdin(Stdio::null())
            .output()
            .map_err(io_error(self.cannot_run("initdb")))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Command { command: "initdb", output });
        }
        fs::rename(&unfinished, self.data()).map_err(io_error("cannot finish the data folder"))
    }

    /// A name for a data folder that nobody has used yet.
    fn unfinished(&self) -> Result<PathBuf, Error> {
        let failed = io_error(format!("cannot make a folder in {}", self.root.display()));
        let made = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.root).map_err(failed)?.keep();
        private(&made, self.account).map_err(io_error("cannot hand over the data folder"))?;
        Ok(made)
    }

    fn spawn(&self, binaries: &Binaries, settings: &[&str]) -> Result<Child, Error> {
        let log =
            OpenOptions::new().create(true).append(true).open(self.log()).map_err(io_error("cannot write the log"))?;
        let log_too = log.try_clone().map_err(io_error("cannot write the log"))?;
        let mut command = self.command(OsStr::new("/bin/sh"));
        command.args(["-c", SUPERVISOR, "mergeline-postgres"]);
        command.arg(self.pipe()).arg(self.remove.clone().unwrap_or_default());
        command.arg(binaries.path("postgres")).arg("-D").arg(self.data());
        command.args(["-c", "listen_addresses=", "-c", "max_connections=60", "-c"]).arg(format!("port={}", self.port));
        command.arg("-c").arg(format!("unix_socket_directories={}", self.socket.display()));
        for setting in settings {
            command.args(["-c", setting]);
        }
        // A group of its own, so that Ctrl-C in the terminal reaches the program and not its database.
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(log_too);
        let supervisor = command.spawn().map_err(io_error(self.cannot_run("postgres")))?;
        let file = self.supervisor();
        fs::write(&file, supervisor.id().to_string()).map_err(io_error(format!("cannot write {}", file.display())))?;
        Ok(supervisor)
    }

    fn cannot_run(&self, program: &str) -> String {
        let hint = match self.account {
            Some(_) => {
                "; for root it runs under the account postgres or nobody, which must be able to reach the folder"
            }
            None => "",
        };
        format!("cannot run {program} in {}{hint} (choose one with --data-dir)", self.root.display())
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("LC_ALL", "C");
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    fn not_ready(&self) -> Error {
        Error::NotReady { seconds: START_WITHIN.as_secs(), log: self.end_of_log() }
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(5).collect();
        end.into_iter().rev().collect::<Vec<_>>().join("\n  ")
    }
}

/// Where a program keeps its private server when nothing else is said: below the user's own data, or the system's
/// for root, because the server's account cannot reach into root's home.
///
/// # Errors
/// When the user has no home.
pub fn data_folder() -> Result<PathBuf, Error> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/mergeline"));
    }
    let no_home = |error: etcetera::HomeDirError| Error::Io {
        what: "no home folder; name a folder with --data-dir".to_owned(),
        source: io::Error::other(error),
    };
    Ok(etcetera::choose_base_strategy().map_err(no_home)?.data_dir().join("mergeline"))
}

/// The account that runs the server: nobody else's when this process is not root.
fn server_account() -> Result<Option<(u32, u32)>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let account = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    match account {
        Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        None => Err(Error::Io {
            what: "PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody`".to_owned(),
            source: io::ErrorKind::PermissionDenied.into(),
        }),
    }
}

/// Whether a signal has stopped a process.
fn is_stopped(process: &str) -> bool {
    // The command's name comes before it, in brackets and with whatever is in it.
    let on_linux = fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, state)| state.to_owned()));
    let state = on_linux.or_else(|| {
        let output = Command::new("ps").args(["-o", "state=", "-p", process]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    state.is_some_and(|state| state.starts_with(['T', 't']))
}

/// Gives a path to the server's account, and keeps everybody else out of folders.
fn private(path: &Path, account: Option<(u32, u32)>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if let Some((uid, gid)) = account {
        chown(path, Some(uid), Some(gid))?;
    }
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Whether a socket can lie in a folder: its path is short, and has nothing that separates or quotes in the server's list of
/// folders, or in a client's list of hosts.
fn suits_a_socket(folder: &Path) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let bytes = folder.as_os_str().as_bytes();
    bytes.len() <= MAX_SOCKET_FOLDER && bytes.iter().all(is_plain)
}

/// Where the socket of a server lies whose own folder does not suit one.
fn short_name(root: &Path) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let name = format!("mergeline-{:016x}", hasher.finish());
    let usual = std::env::temp_dir().join(&name);
    if suits_a_socket(&usual) { usual } else { Path::new("/tmp").join(name) }
}

/// The same, made if need be.
fn short_folder(root: &Path) -> Result<PathBuf, Error> {
    let folder = short_name(root);
    let cannot = || io_error(format!("cannot use the folder {}", folder.display()));
    match fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        // Left from before. A link could lead anywhere, and the folder is about to be given away.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&folder).map_err(cannot())?;
            if found.is_dir() { Ok(folder) } else { Err(cannot()(error)) }
        }
        Err(error) => Err(cannot()(error)),
    }
}
