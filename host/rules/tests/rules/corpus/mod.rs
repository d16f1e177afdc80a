//! The hostile corpus: every attack of `table`, on a running host with another enterprise on it.
//!
//! Each attack ends as the table says, the other enterprise is answered meanwhile, and the host's memory stays where it was.
//! `docs/hostile-plugins.md` shows the same table.

mod bytes;
mod meter;
mod stage;
mod table;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use stage::Stage;
use table::{Attack, Guest};

use crate::support::{page, wat};

/// Growth the host is allowed beyond what an evaluation may use, in bytes.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// The name of the test below, to run it alone.
const ALONE: &str = "corpus::every_attack_ends_as_the_table_says_and_the_host_lives";

/// Names the directory of the attackers' files to the process that is attacked.
const FILES: &str = "XNOVU_TEST_CORPUS";

#[test]
#[allow(clippy::disallowed_methods, reason = "how a test finds out that it is the process it started")]
fn every_attack_ends_as_the_table_says_and_the_host_lives() {
    if let Ok(files) = std::env::var(FILES) {
        return attack_all(Path::new(&files));
    }
    // The memory of a process is measured: no other test may run in it, and nobody may make attackers there.
    let files = tempfile::tempdir().unwrap();
    stage::make(&all(), files.path());
    let mut host = Command::new(std::env::current_exe().unwrap());
    let output = host.args(["--exact", ALONE, "--nocapture"]).env(FILES, files.path()).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, said(&output.stdout), said(&output.stderr));
    eprintln!("{}", said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "it did not run: {}", said(&output.stdout));
}

#[allow(
    clippy::print_stderr,
    reason = "who looks for the slow attack, or for the one that ended the process, finds it there"
)]
fn attack_all(files: &Path) {
    let rest = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rest.block_on(async {
        let stage = Stage::open(files).await;
        let mut wrong = Vec::new();
        for (number, attack) in all().iter().enumerate() {
            let started = Instant::now();
            let suffered = stage.suffer(number, attack).await;
            eprintln!("{} {:?}, {} KiB kept", attack.name, started.elapsed(), stage.grown() / 1024);
            if let Err(why) = suffered {
                wrong.push(format!("{}: {why}", attack.name));
            }
        }
        assert!(wrong.is_empty(), "{} attacks did not end as the table says:\n{}", wrong.len(), wrong.join("\n"));
    });
}

fn all() -> Vec<Attack> {
    table::groups().into_iter().flat_map(|(_, attacks)| attacks).collect()
}

#[test]
fn the_corpus_has_at_least_forty_guests_and_each_once() {
    let attacks = all();
    let names: BTreeSet<_> = attacks.iter().map(|attack| attack.name.as_str()).collect();
    assert_eq!(names.len(), attacks.len(), "two attacks have one name");
    assert!(names.len() >= 40, "{}", names.len());
    let of_files: Vec<_> =
        attacks.iter().filter(|it| matches!(it.guest, Guest::Wat)).map(|attack| attack.name.clone()).collect();
    let missing: Vec<_> = wat::names().into_iter().filter(|name| !of_files.contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new(), "guests nobody attacks with");
}

#[test]
fn the_documentation_shows_the_table() {
    const MARK: &str = "<!-- The table is made from the tests; what follows the next mark is not. -->\n";
    let documentation = include_str!("../../../../../docs/hostile-plugins.md");
    let [before, _, after] = documentation.split(MARK).collect::<Vec<_>>()[..] else { panic!("not two marks") };
    page::reads("hostile-plugins.md", &format!("{before}{MARK}{}{MARK}{after}", table::as_markdown()));
}
