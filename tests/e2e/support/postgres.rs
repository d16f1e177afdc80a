//! A PostgreSQL of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::{free_port, until};

/// Password in the server's URL. The server asks for none; nothing may show it all the same.
pub const PASSWORD: &str = "PLANTEDDATABASEPASSWORD";

/// A server with the tables of the host platform, killed when dropped.
pub struct PostgresServer {
    child: Child,
    port: u16,
    // Dropped after the server has ended.
    _dir: TempDir,
}

impl PostgresServer {
    /// A server with the tables, and nothing of `docker/sql/` applied.
    pub async fn start() -> Self {
        let programs = programs();
        let dir = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to be root.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = dir.path().join("data");
        let mut initdb = as_postgres(&programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["--username=postgres", "--auth=trust", "--no-sync"]);
        succeeded(initdb.current_dir(dir.path()).output().unwrap());
        let port = free_port();
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(dir.path()).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        server.args(["-c", "fsync=off", "-c", "wal_level=logical"]).current_dir(dir.path());
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { child, port, _dir: dir };
        until("PostgreSQL answers", async || {
            let asked = server.psql(&["-c", "select 1"]);
            if asked.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&asked.stderr).into_owned()) }
        })
        .await;
        server.apply("tests/sql/schema.sql");
        server
    }

    pub fn url(&self) -> String {
        format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a file of this repository.
    pub fn apply(&self, file: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        succeeded(self.psql(&["-f", file.to_str().unwrap()]));
    }

    fn psql(&self, arguments: &[&str]) -> Output {
        let mut psql = Command::new("psql");
        psql.args(["-d", &self.url(), "-v", "ON_ERROR_STOP=1", "-X", "-q", "-A", "-t"]).args(arguments);
        psql.stdin(Stdio::null()).output().expect("psql is installed (tests/run installs it)")
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // At once; its data are gone with it. Where it runs under another user, the one who started it is told to pass that on.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn succeeded(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.trim_end().to_owned()
}

/// A program of the server's, under a user it accepts.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

/// Where the newest server's programs are.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max();
    newest.expect("PostgreSQL is installed (tests/run installs it)")
}
