//! The hostile corpus: every attack of `table`, on a running host with another enterprise on it.
//!
//! Each attack ends as the table says, the other enterprise is answered meanwhile, and the host's memory stays where it was.
//! `docs/hostile-plugins.md` shows the same table.

mod bytes;
mod meter;
mod stage;
mod table;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

use stage::Stage;
use table::{Attack, Guest};

use crate::support::{page, wat};

/// Growth the host is allowed beyond what an evaluation may use, in bytes.
const GROWTH_BYTES_MAX: u64 = 32 << 20;

/// The name of the test below, to run it alone.
const ALONE: &str = "corpus::every_attack_ends_as_the_table_says_and_the_host_lives";

#[test]
fn every_attack_ends_as_the_table_says_and_the_host_lives() {
    // The memory of this process is measured, so no other test may run in it.
    if std::env::args().any(|argument| argument == "--exact") {
        return attack_all();
    }
    let output =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", ALONE, "--nocapture"]).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "it did not run: {}", said(&output.stdout));
}

fn attack_all() {
    let rest = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rest.block_on(async {
        let stage = Stage::open().await;
        let mut wrong = Vec::new();
        for (number, attack) in table::groups().into_iter().flat_map(|(_, attacks)| attacks).enumerate() {
            let started = Instant::now();
            let suffered = stage.suffer(number, &attack).await;
            // Who looks for the slow one, or for the one that ended the process, finds it in the output.
            eprintln!("{} {:?}", attack.name, started.elapsed());
            if let Err(why) = suffered {
                wrong.push(format!("{}: {why}", attack.name));
            }
        }
        assert!(wrong.is_empty(), "{} attacks did not end as the table says:\n{}", wrong.len(), wrong.join("\n"));
    });
}

#[test]
fn the_corpus_has_at_least_forty_guests_and_each_once() {
    let attacks: Vec<Attack> = table::groups().into_iter().flat_map(|(_, attacks)| attacks).collect();
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
