//! Which processes of an installation run.
//!
//! Owns the files a process keeps in the state directory: `<name>.pid`, locked for as long as it lives, `<name>.json`, what it was started
//! with, and `<name>.sock`, its admin socket. The lock is the truth; the operating system gives it up however the process dies, so a file
//! that is left behind never counts. Never looks for a process by its name, and never holds a secret: options that are secrets do not
//! exist.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Longest wait for somebody who only looks whether the lock is held.
const LOOKERS: Duration = Duration::from_millis(300);

/// Longest path of a Unix socket, in bytes.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// The bit of a mode by which everybody may write.
pub(crate) const WRITABLE_BY_OTHERS: u32 = 0o002;

/// What a process is for. A state directory has one daemon and one supervisor, and any number of workers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// Hears of notifications.
    Daemon,
    /// Takes jobs. The id tells the workers of a state directory apart.
    Worker(String),
    /// Keeps a number of workers running.
    Supervisor,
}

impl Role {
    /// A worker with an id that no other has.
    #[must_use]
    pub fn new_worker() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self::Worker(id[..8].to_owned())
    }

    /// What it is called.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Worker(_) => "worker",
            Self::Supervisor => "supervisor",
        }
    }

    fn of_stem(stem: &str) -> Option<Self> {
        match stem {
            "daemon" => Some(Self::Daemon),
            "supervisor" => Some(Self::Supervisor),
            _ => stem.strip_prefix("worker-").map(|id| Self::Worker(id.to_owned())),
        }
    }
}

/// The name of its files: `daemon`, `worker-<id>`, `supervisor`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(id) => write!(f, "worker-{id}"),
            Self::Daemon | Self::Supervisor => f.write_str(self.word()),
        }
    }
}

/// What a process was started with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its process id.
    pub pid: u32,
    /// When, in RFC 3339.
    pub since: String,
    /// Its version.
    pub version: String,
    /// Where it runs, and its `.env` is.
    pub directory: PathBuf,
    /// The options of its verb, as they were given.
    pub options: Vec<String>,
    /// Where its health is served, if it is.
    pub health: Option<SocketAddr>,
    /// How long its stop may take, in milliseconds.
    pub grace_ms: u64,
    /// Whether it left its terminal.
    pub detached: bool,
    /// Whether a service manager looks after it.
    pub supervised: bool,
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is for.
    pub role: Role,
    /// Its process id.
    pub pid: u32,
    /// Its admin socket.
    pub socket: PathBuf,
}

/// Why a process cannot be started, found or instructed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is one already.
    #[error(
        "a {role} (pid {pid}) runs with the state directory {dir} already\n  hint: stop it with `xnovu {role} stop`, or set XNOVU_STATE_DIR to a directory of its own"
    )]
    Running {
        /// What it is for.
        role: &'static str,
        /// Its process id.
        pid: u32,
        /// The state directory.
        dir: PathBuf,
    },
    /// There is none.
    #[error(
        "no {role} runs with the state directory {dir}\n  hint: start it, or set XNOVU_STATE_DIR to the directory it was started with"
    )]
    NotRunning {
        /// What it would be for.
        role: String,
        /// The state directory.
        dir: PathBuf,
    },
    /// It runs and cannot be reached.
    #[error(
        "the {role} (pid {pid}) does not answer at {socket}\n  hint: it may be starting still, or be stuck; its log tells"
    )]
    Silent {
        /// What it is for.
        role: Role,
        /// Its process id.
        pid: u32,
        /// Its admin socket.
        socket: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered, and did not do what was asked.
    #[error("{request} was refused with {status}: {message}")]
    Refused {
        /// Method and path.
        request: String,
        /// The status of HTTP.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Everybody may write to the state directory.
    #[error(
        "the state directory {dir} can be written by everybody (mode {mode:o})\n  hint: chmod o-w {dir}, or set XNOVU_STATE_DIR to another one"
    )]
    Exposed {
        /// The state directory.
        dir: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A socket cannot have such a path.
    #[error(
        "{path} is too long for a socket: at most {SOCKET_PATH_MAX} bytes\n  hint: set XNOVU_STATE_DIR to a shorter path"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The file system did not do what was asked.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Where the processes of an installation keep their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The directory, which need not exist.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn at(path: &Path) -> Result<Self, ControlError> {
        std::path::absolute(path).map(Self).map_err(io_error("finding", path))
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The admin socket of a process.
    #[must_use]
    pub fn socket(&self, role: &Role) -> PathBuf {
        self.0.join(format!("{role}.sock"))
    }

    /// The log of a process that left its terminal.
    #[must_use]
    pub fn log(&self, role: &Role) -> PathBuf {
        self.0.join(format!("{role}.log"))
    }

    fn pid_file(&self, role: &Role) -> PathBuf {
        self.0.join(format!("{role}.pid"))
    }

    fn start_file(&self, role: &Role) -> PathBuf {
        self.0.join(format!("{role}.json"))
    }

    /// Makes the directory, for its owner alone, where there is none.
    ///
    /// # Errors
    /// It cannot be made, or everybody may write to it.
    pub fn create(&self) -> Result<(), ControlError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.0).map_err(io_error("creating the state directory", &self.0))?;
        let metadata = fs::metadata(&self.0).map_err(io_error("reading the mode of", &self.0))?;
        let mode = metadata.mode() & 0o7777;
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(ControlError::Exposed { dir: self.0.clone(), mode });
        }
        Ok(())
    }

    /// Takes the place of a process for as long as the [`Hold`] lives, and clears away what dead processes left.
    ///
    /// # Errors
    /// Another process has the place: [`ControlError::Running`] with its pid. The directory cannot be used.
    pub fn claim(&self, role: Role, started: &Started) -> Result<Hold, ControlError> {
        self.create()?;
        self.clear_away();
        let socket = self.socket(&role);
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(ControlError::TooLong { path: socket });
        }
        let mut pid_file = self.lock(&role)?;
        let path = self.pid_file(&role);
        let written = pid_file.set_len(0).and_then(|()| writeln!(pid_file, "{}", started.pid));
        written.map_err(io_error("writing", &path))?;
        let hold = Hold { dir: self.clone(), role, pid_file };
        hold.record(started)?;
        Ok(hold)
    }

    /// Opens the pid file with its lock. Whoever only looks holds the lock for a moment, so one refusal is none.
    fn lock(&self, role: &Role) -> Result<File, ControlError> {
        let path = self.pid_file(role);
        let patience = Instant::now() + LOOKERS;
        loop {
            let mut options = OpenOptions::new();
            options.create(true).read(true).write(true).truncate(false).mode(0o600);
            let file = options.open(&path).map_err(io_error("opening", &path))?;
            match file.try_lock() {
                // A file that was removed between the two steps is nobody's lock.
                Ok(()) if is_at(&file, &path) => return Ok(file),
                Ok(()) => continue,
                Err(TryLockError::Error(source)) => return Err(io_error("locking", &path)(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            if Instant::now() >= patience {
                let pid = written_pid(&path);
                return Err(ControlError::Running { role: role.word(), pid, dir: self.0.clone() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process that has this place.
    ///
    /// # Errors
    /// None runs: [`ControlError::NotRunning`]. The file cannot be read.
    pub fn find(&self, role: &Role) -> Result<Found, ControlError> {
        let path = self.pid_file(role);
        match self.look(role).map_err(io_error("looking at", &path))? {
            Some(pid) => Ok(Found { role: role.clone(), pid, socket: self.socket(role) }),
            None => Err(ControlError::NotRunning { role: role.to_string(), dir: self.0.clone() }),
        }
    }

    /// Every process that runs, daemon first.
    ///
    /// # Errors
    /// The directory cannot be read. One that does not exist has no processes.
    pub fn running(&self) -> Result<Vec<Found>, ControlError> {
        let mut roles = self.roles().map_err(io_error("reading the state directory", &self.0))?;
        roles.sort_by_key(ToString::to_string);
        Ok(roles.iter().filter_map(|role| self.find(role).ok()).collect())
    }

    /// What the process that has this place, or had it last, was started with.
    #[must_use]
    pub fn last_started(&self, role: &Role) -> Option<Started> {
        serde_json::from_slice(&fs::read(self.start_file(role)).ok()?).ok()
    }

    /// The pid of the process that holds the lock.
    fn look(&self, role: &Role) -> io::Result<Option<u32>> {
        let path = self.pid_file(role);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(written_pid(&path))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn roles(&self) -> io::Result<Vec<Role>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| Role::of_stem(name.strip_suffix(".pid")?)).collect())
    }

    /// Removes the files of processes that are dead. What cannot be removed does no harm.
    fn clear_away(&self) {
        for role in self.roles().unwrap_or_default() {
            let path = self.pid_file(&role);
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok() && is_at(&file, &path) {
                self.remove_files(&role);
            }
        }
    }

    /// Removes the files of a process whose lock the caller holds. What a daemon was started with stays: `restart` keeps it.
    fn remove_files(&self, role: &Role) {
        let _ = fs::remove_file(self.socket(role));
        if *role != Role::Daemon {
            let _ = fs::remove_file(self.start_file(role));
        }
        let _ = fs::remove_file(self.pid_file(role));
    }
}

/// The place of this process, given up when dropped.
#[derive(Debug)]
pub struct Hold {
    dir: StateDir,
    role: Role,
    /// Holds the lock while it is open.
    #[expect(dead_code, reason = "an open file is a held lock")]
    pid_file: File,
}

impl Hold {
    /// What this process is for.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// Where its admin socket belongs.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.socket(&self.role)
    }

    /// Records what it was started with.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(&self, started: &Started) -> Result<(), ControlError> {
        let path = self.dir.start_file(&self.role);
        let text = serde_json::to_vec_pretty(started).expect("names and numbers become JSON");
        let mut options = OpenOptions::new();
        options.create(true).write(true).truncate(true).mode(0o600);
        let written = options.open(&path).and_then(|mut file| file.write_all(&text));
        written.map_err(io_error("writing", &path))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.dir.remove_files(&self.role);
    }
}

/// Whether this open file is still the one of that path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    identity(open) == identity(there)
}

/// The pid in a file that is locked. Its owner writes it a moment after it has the lock. 0: it has not, which is as good as unknown.
fn written_pid(path: &Path) -> u32 {
    let patience = Instant::now() + LOOKERS;
    loop {
        match pid_in(path) {
            Some(pid) => return pid,
            None if Instant::now() >= patience => return 0,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn pid_in(path: &Path) -> Option<u32> {
    let mut text = String::new();
    // A pid has at most ten digits.
    File::open(path).ok()?.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ControlError {
    let path = path.to_owned();
    move |source| ControlError::Io { what, path, source }
}

#[cfg(test)]
mod tests;
