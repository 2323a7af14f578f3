//! Starts, shares and stops a private server.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
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
/// How long a server may take to stop after its last user is gone.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How often the server's state file is polled while it starts or stops.
const POLL: Duration = Duration::from_millis(10);
/// The longest path of a Unix socket is 107 bytes, and the server appends `/.s.PGSQL.5432`.
const MAX_SOCKET_FOLDER: usize = 90;
/// The name prefix of data folders that `initdb` has not finished.
const UNFINISHED: &str = "data.new";

/// The login of the server's users, which owns their databases. It may make databases and roles, but it is not a
/// superuser, because row-level security does not apply to superusers.
const LOGIN: &str = "mergeline_private";
/// The login that `initdb` makes.
const SUPERUSER: &str = "postgres";
/// The file in a data folder that says that it has [`LOGIN`]. Folders from before the first release have none.
const HAS_LOGIN: &str = "mergeline.login";

/// Part of the socket's name. Set on both sides, because otherwise PGPORT from the environment would apply.
const PORT: u16 = 5432;

/// Runs the server until the last writer of the pipe is gone: $1 pipe, $2 folder to remove or empty, then the server's
/// command line. A server that is stopped or killed before that is restarted, so that its users can reconnect. One that
/// never came up is not restarted: its log says why.
const SUPERVISOR: &str = r#"
pipe=$1; remove=$2; shift 2
exec 3<"$pipe"
ended= server=
stop() {
  ended=yes
  # Until the server sets up its signal handling it ignores INT, as children of a shell do, and TERM ends it. After
  # that, INT is the signal that does not wait for clients.
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
  # A signal also makes wait return.
  while kill -0 "$server" 2>/dev/null; do wait "$server"; status=$?; done
  # A server that fails on its first start has logged why. Status 0 or a signal means that it was stopped or killed.
  [ "$starts" -gt 1 ] || [ "$status" = 0 ] || [ "$status" -gt 128 ] || break
  # The remaining processes of a killed server need a moment to notice.
  [ -n "$ended" ] || sleep 0.2
done
exec 3<&-
[ -z "$remove" ] || rm -rf "$remove"
"#;

/// Removes the folder of a server that was never started, because its first user was interrupted: $1 pipe, $2 folder.
/// Once there is a data folder, the supervisor removes it.
const CLEANER: &str = r#"
cat <"$1" >/dev/null
[ -d "$2/data" ] || rm -rf "$2"
"#;

/// A running private server. It runs as long as any process holds a value of this type for its folder.
#[derive(Debug)]
pub struct Server {
    folder: Folder,
    binaries: Binaries,
    /// The open pipe is what keeps the server alive.
    _holder: File,
}

impl Server {
    /// The server with its data in `folder`. Starts it if it is not running yet.
    ///
    /// # Errors
    /// When the machine has no PostgreSQL, the folder cannot be used, or the server does not start.
    pub fn persistent(folder: &Path) -> Result<Self, Error> {
        let folder = Folder::open(folder, None, PORT)?;
        let binaries = Binaries::find_for(folder.version().as_deref())?;
        Self::enter(&folder, &binaries, &[])
    }

    /// A separate server in a temporary folder that is removed with it.
    ///
    /// # Errors
    /// When the machine has no PostgreSQL or the server does not start.
    pub fn throwaway() -> Result<Self, Error> {
        Self::throwaway_with(PORT, &[])
    }

    /// A throwaway server that also listens on this port of 127.0.0.1, for TLS, which does not work over a Unix socket.
    ///
    /// # Errors
    /// As [`Self::throwaway`], and when the port is in use.
    pub fn throwaway_on(port: u16) -> Result<Self, Error> {
        Self::throwaway_with(port, &["listen_addresses=127.0.0.1"])
    }

    fn throwaway_with(port: u16, settings: &[&str]) -> Result<Self, Error> {
        let binaries = Binaries::find()?;
        let folder = tempfile::Builder::new()
            .prefix("mergeline-")
            .tempdir()
            .map_err(io_error("cannot create a temporary folder, in the folder that TMPDIR names or else in /tmp"))?
            .keep();
        let folder = Folder::open(&folder, Some(folder.clone()), port)?;
        // Its data does not have to survive, so nothing waits for the disk.
        let no_durability = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=256MB"];
        Self::enter(&folder, &binaries, &[&no_durability, settings].concat())
    }

    /// The programs of the server, including `pg_dump` and `psql` of the same version.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder.root
    }

    /// Whether it responds. Its supervisor restarts a killed server. If the supervisor was killed too,
    /// [`Self::persistent`] starts a new one.
    pub fn answers(&self) -> bool {
        self.folder.answers() && self.folder.stopped_process().is_none()
    }

    /// The URL of a database on this server, through its Unix socket, for a login that is not a superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_of(LOGIN, database)
    }

    /// The same for the superuser, who sees all rows of all tables.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url_of(SUPERUSER, database)
    }

    fn url_of(&self, login: &str, database: &str) -> String {
        let socket: String = self.folder.socket.to_string_lossy().bytes().map(percent_encoded).collect();
        format!("postgres://{login}@localhost:{}/{database}?host={socket}", self.folder.port)
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
                // The server and its supervisor were killed, but a reader of the pipe is left. It keeps the old pipe.
                Some(_) if folder.is_abandoned() => {
                    fs::remove_file(folder.pipe()).map_err(io_error("cannot remove an abandoned pipe"))?;
                }
                // Another process is starting or stopping the server: try again when it is done.
                Some(_) => {}
                // The server inherits the read end of the pipe: no reader means no server.
                None => return folder.start(binaries, settings, deadline),
            }
            drop(lock);
            sleep(POLL);
        }
        Err(folder.not_ready())
    }
}

/// The private data folder of a machine, for code that keeps, moves or removes its data.
#[derive(Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder of [`Server::persistent`]. It does not have to exist.
    pub fn new(folder: &Path) -> Self {
        Self(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether there is data, or a part of it.
    ///
    /// # Errors
    /// [`Error::Unusable`] if this account may not look.
    pub fn has_data(&self) -> Result<bool, Error> {
        self.0.join("data").try_exists().map_err(unusable(&self.0))
    }

    /// The major version of PostgreSQL that created the data. `None` without data.
    pub fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.0.join("data/PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    /// Removes it with all data. Returns `false` when it does not exist.
    ///
    /// # Errors
    /// [`Error::InUse`] while a command uses it, and when the file system refuses.
    pub fn remove(&self) -> Result<bool, Error> {
        if !self.0.try_exists().map_err(unusable(&self.0))? {
            return Ok(false);
        }
        let folder = Folder::open(&self.0, None, PORT)?;
        let _lock = folder.lock()?;
        // The last user may have exited just now.
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

/// For a folder that this account cannot write, or a file in it.
fn unusable(folder: &Path) -> impl FnOnce(io::Error) -> Error {
    let folder = folder.display().to_string();
    move |error| Error::Unusable { folder, reason: error.to_string() }
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
        let cannot = || unusable(root);
        // The server writes the path into a line-based file.
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

    /// The major version that created the data. `None` without data.
    fn version(&self) -> Option<String> {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    fn pipe(&self) -> PathBuf {
        self.root.join("users")
    }

    /// Lets one process at a time decide whether to start the server. Released on drop.
    fn lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        let lock = File::create(&path).map_err(unusable(&path))?;
        lock.lock().map_err(io_error(format!("cannot lock {}", path.display())))?;
        Ok(lock)
    }

    /// Becomes a user of the running server. `None` when no supervisor reads from the pipe.
    fn join(&self) -> Result<Option<File>, Error> {
        // Without `O_NONBLOCK`, opening a pipe without a reader would block.
        let nonblocking = OFlag::O_NONBLOCK.bits();
        match OpenOptions::new().write(true).custom_flags(nonblocking).open(self.pipe()) {
            Ok(holder) => Ok(Some(holder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(None),
            Err(error) => Err(io_error(format!("cannot open {}", self.pipe().display()))(error)),
        }
    }

    /// The lines of `postmaster.pid`: the first is the process id, the eighth the state.
    fn state(&self) -> Vec<String> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn is_ready(&self) -> bool {
        self.state().get(7).is_some_and(|state| state == "ready")
    }

    /// Whether both the server and its supervisor are gone, although a process still reads from the pipe.
    fn is_abandoned(&self) -> bool {
        let supervisor = fs::read_to_string(self.supervisor()).unwrap_or_default();
        let is_gone = |process: &str| {
            process.trim().parse().is_ok_and(|process| kill(Pid::from_raw(process), None) == Err(Errno::ESRCH))
        };
        let server = self.state();
        is_gone(&supervisor) && server.first().is_none_or(|server| is_gone(server))
    }

    /// The id of the server's process, if a signal has stopped it: it exists but does nothing.
    fn stopped_process(&self) -> Option<String> {
        self.state().into_iter().next().filter(|process| is_stopped(process) && self.answers())
    }

    fn stopped(&self) -> Option<Error> {
        Some(Error::Stopped { folder: self.root.display().to_string(), process: self.stopped_process()? })
    }

    /// The file with the process id of the supervisor.
    fn supervisor(&self) -> PathBuf {
        self.root.join("supervisor")
    }

    /// Whether a process listens. The state file of a killed server still says that it is ready, so that is not enough.
    /// The kernel also accepts connections for a stopped server.
    fn answers(&self) -> bool {
        UnixStream::connect(self.socket.join(format!(".s.PGSQL.{}", self.port))).is_ok()
    }

    fn start(&self, binaries: &Binaries, settings: &[&str], deadline: Instant) -> Result<Server, Error> {
        if !self.pipe().exists() {
            let failed = |errno: Errno| unusable(&self.pipe())(errno.into());
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
        self.initialize(binaries)?;
        // A leftover state file from a crash would look like a ready server.
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        let mut supervisor = self.spawn(binaries, settings)?;
        while Instant::now() < deadline {
            if supervisor.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(Error::Command { command: "postgres", output: self.end_of_log() });
            }
            // From now on only the supervisor may hold a read end. Otherwise a later process would mistake this one's
            // read end for a running server.
            if self.is_ready()
                && let Some(holder) = self.join()?
            {
                drop(starter);
                // Reap the supervisor, so that a killed one does not look alive while this process, its parent, runs.
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

    /// Creates the data folder in one step: a crash halfway leaves nothing that looks finished.
    fn initialize(&self, binaries: &Binaries) -> Result<(), Error> {
        if let Some(found) = self.version() {
            if found != binaries.version().to_string() {
                let (folder, installed) = (self.root.display().to_string(), binaries.version());
                return Err(Error::OtherVersion { folder, found, installed });
            }
            if !self.data().join(HAS_LOGIN).exists() {
                return Err(Error::BeforeFirstRelease { folder: self.root.display().to_string() });
            }
            return Ok(());
        }
        // An `initdb` may still be writing after its parent was killed, so each one has its own folder name.
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
            .arg(format!("--username={SUPERUSER}"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .process_group(0)
            .stdin(Stdio::null())
            .output()
            .map_err(io_error(self.cannot_run("initdb")))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Command { command: "initdb", output });
        }
        self.create_login(binaries, &unfinished)?;
        fs::rename(&unfinished, self.data()).map_err(io_error("cannot finish the data folder"))
    }

    /// Creates the login of the server's users, before the server ever runs.
    fn create_login(&self, binaries: &Binaries, data: &Path) -> Result<(), Error> {
        // Each line is one statement.
        let statements =
            format!("create role {LOGIN} login createdb createrole\nalter database postgres owner to {LOGIN}\n");
        let failed = || io_error(self.cannot_run("postgres"));
        let mut running = self
            .command(binaries.path("postgres"))
            .arg("--single")
            .arg("-D")
            .arg(data)
            .args(["-c", "exit_on_error=on", "-c", "fsync=off", "postgres"])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        if let Some(mut input) = running.stdin.take() {
            // If it has ended already, its output says why.
            let _ = input.write_all(statements.as_bytes());
        }
        let output = running.wait_with_output().map_err(failed())?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Command { command: "postgres", output });
        }
        let mark = data.join(HAS_LOGIN);
        fs::write(&mark, LOGIN)
            .and_then(|()| private(&mark, self.account))
            .map_err(io_error("cannot finish the data folder"))
    }

    /// A new, unused folder for `initdb`.
    fn unfinished(&self) -> Result<PathBuf, Error> {
        let failed = unusable(&self.root);
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
        // A separate process group, so that Ctrl-C in the terminal reaches the program but not its database.
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(log_too);
        let supervisor = command.spawn().map_err(io_error(self.cannot_run("postgres")))?;
        let file = self.supervisor();
        fs::write(&file, supervisor.id().to_string()).map_err(io_error(format!("cannot write {}", file.display())))?;
        Ok(supervisor)
    }

    fn cannot_run(&self, program: &str) -> String {
        let hint = match self.account {
            Some(_) => "; as root, it runs under the account postgres or nobody, which must have access to the folder",
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

/// The default folder of the private server: in the user's data folder, or in the system's for root, because the
/// server's account has no access to root's home.
///
/// # Errors
/// When the user has no home folder.
pub fn data_folder() -> Result<PathBuf, Error> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/mergeline"));
    }
    let no_home = |error: etcetera::HomeDirError| Error::Io {
        what: "no home folder; name a folder with --data-dir or in MERGELINE_DATA_DIR".to_owned(),
        source: io::Error::other(error),
    };
    Ok(etcetera::choose_base_strategy().map_err(no_home)?.data_dir().join("mergeline"))
}

/// The account that runs the server. `None` when this process is not root: the server then runs under the same account.
fn server_account() -> Result<Option<(u32, u32)>, Error> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let account = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    match account {
        Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        None => Err(Error::Io {
            what: "PostgreSQL cannot run as root, and there is no account `postgres` or `nobody`".to_owned(),
            source: io::ErrorKind::PermissionDenied.into(),
        }),
    }
}

/// Whether a signal has stopped a process.
fn is_stopped(process: &str) -> bool {
    // The command's name comes before the state, in parentheses, and may contain any character.
    let on_linux = fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, state)| state.to_owned()));
    let state = on_linux.or_else(|| {
        let output = Command::new("ps").args(["-o", "state=", "-p", process]).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    });
    state.is_some_and(|state| state.starts_with(['T', 't']))
}

/// Gives a path to the server's account. Only that account may access folders.
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

/// Whether a folder can hold a socket: its path is short, and has no separators or quotes of the server's list of
/// folders or a client's list of hosts.
fn suits_a_socket(folder: &Path) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let bytes = folder.as_os_str().as_bytes();
    bytes.len() <= MAX_SOCKET_FOLDER && bytes.iter().all(is_plain)
}

/// The socket folder of a server whose own folder cannot hold a socket.
fn short_name(root: &Path) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let name = format!("mergeline-{:016x}", hasher.finish());
    let usual = std::env::temp_dir().join(&name);
    if suits_a_socket(&usual) { usual } else { Path::new("/tmp").join(name) }
}

/// The same folder, created if it does not exist.
fn short_folder(root: &Path) -> Result<PathBuf, Error> {
    let folder = short_name(root);
    let cannot = || io_error(format!("cannot use the folder {}", folder.display()));
    match fs::create_dir(&folder) {
        Ok(()) => Ok(folder),
        // Left from an earlier run. It must not be a link: the folder is about to change owner, and a link could point
        // anywhere.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(&folder).map_err(cannot())?;
            if found.is_dir() { Ok(folder) } else { Err(cannot()(error)) }
        }
        Err(error) => Err(cannot()(error)),
    }
}
