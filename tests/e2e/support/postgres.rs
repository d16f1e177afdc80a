//! A PostgreSQL of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::redis::Certificates;
use super::{free_port, until};

/// Password of the server's owner, which nothing may show.
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
        Self::launch(None).await
    }

    /// The same, which can speak TLS.
    pub async fn with_tls(certificates: &Certificates) -> Self {
        Self::launch(Some(certificates)).await
    }

    async fn launch(certificates: Option<&Certificates>) -> Self {
        let programs = programs();
        let dir = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to be root.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let data = dir.path().join("data");
        let mut initdb = as_postgres(&programs.join("initdb"));
        let password = dir.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        initdb.arg("-D").arg(&data).args(["--username=postgres", "--auth=scram-sha-256", "--no-sync"]);
        initdb.arg("--pwfile").arg(&password);
        succeeded(initdb.current_dir(dir.path()).output().unwrap());
        let port = free_port();
        let mut server = as_postgres(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(dir.path()).args(["-p", &port.to_string(), "-h", "127.0.0.1"]);
        server.args(["-c", "fsync=off", "-c", "wal_level=logical"]).current_dir(dir.path());
        if let Some(certificates) = certificates {
            let given = |file: &Path| give(file, dir.path()).display().to_string();
            let (certificate, key) = (given(&certificates.server), given(&certificates.server_key));
            server.args([
                "-c",
                "ssl=on",
                "-c",
                &format!("ssl_cert_file={certificate}"),
                "-c",
                &format!("ssl_key_file={key}"),
            ]);
        }
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

    /// Runs a statement.
    pub fn sql(&self, statement: &str) {
        succeeded(self.psql(&["-c", statement]));
    }

    /// Where it is under the name its certificate has, for a client that insists on TLS.
    pub fn tls_url(&self) -> String {
        format!("postgresql://postgres:{PASSWORD}@localhost:{}/postgres?sslmode=require", self.port)
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

/// A copy that the server's user owns and nobody else may read, as PostgreSQL wants it of a key.
fn give(file: &Path, dir: &Path) -> PathBuf {
    let copy = dir.join(file.file_name().unwrap());
    std::fs::copy(file, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        succeeded(Command::new("chown").arg("postgres").arg(&copy).output().unwrap());
    }
    copy
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// A program of the server's, under a user it accepts.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
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
