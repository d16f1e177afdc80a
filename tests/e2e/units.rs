//! The units of systemd are what systemd takes them for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xnovu::config::{Config, Layer, Layers};

const UNITS: [(&str, &str); 2] =
    [("xnovu-daemon.service", "xnovu-daemon.service"), ("xnovu-worker@.service", "xnovu-worker@1.service")];

/// The most that systemd may find exposed, in tenths of its scale up to 10.
const EXPOSED_MAX: u32 = 20;

/// Copies of the units that name the program of this test.
fn units() -> (tempfile::TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (file, _) in UNITS {
        let text = read(file).replace("/usr/local/bin/xnovu", env!("CARGO_BIN_EXE_xnovu"));
        fs::write(dir.path().join(file), text).unwrap();
    }
    (dir, UNITS.map(|(_, name)| name.to_owned()).to_vec())
}

fn read(file: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
    fs::read_to_string(root.join("docker/systemd").join(file)).unwrap()
}

fn analyze(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).current_dir(dir).env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display()));
    command.output().expect("systemd-analyze is installed (tests/run installs it)")
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let (dir, names) = units();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let verified = analyze(dir.path(), &[&["verify", "--man=no"], names.as_slice()].concat());
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success(), "{said}");
    // What it does not know it only warns of.
    let about_us: Vec<&str> = said.lines().filter(|line| line.contains("xnovu")).collect();
    assert!(about_us.is_empty(), "{about_us:#?}");
}

#[test]
fn systemd_finds_the_units_hardened() {
    let (dir, _) = units();
    for (file, _) in UNITS {
        let threshold = format!("--threshold={EXPOSED_MAX}");
        let judged =
            analyze(dir.path(), &["security", "--offline=true", "--no-pager", &threshold, &format!("./{file}")]);
        assert!(judged.status.success(), "{file}: {}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn the_daemon_may_write_a_roll_back_beside_its_bindings_and_nowhere_else_of_the_system() {
    let text = read("xnovu-daemon.service");
    let of = |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)).collect::<Vec<_>>();
    let plugins = of("Environment=XNOVU_PLUGINS=")[0].split(' ').next().unwrap();
    assert_eq!(of("ReadWritePaths="), [format!("-{plugins}")]);
    assert_eq!(of("ProtectSystem="), ["strict"]);
}

#[test]
fn the_units_wait_longer_than_a_stop_may_take() {
    let mut layers = Layers::default();
    for (name, value) in
        [("SUPABASE_URL", "http://localhost"), ("SUPABASE_SERVICE_ROLE_KEY", "key"), ("NOVU_SECRET_KEY", "key")]
    {
        layers.set(name, value, Layer::Environment);
    }
    let graces = Config::read(&layers).unwrap().graces;
    for (file, _) in UNITS {
        let text = read(file);
        let seconds = text.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')).unwrap();
        let seconds: u64 = seconds.parse().unwrap();
        assert!(seconds > (graces.admission + graces.workers).as_secs(), "{file}: {seconds} s");
    }
}
