//! Completions in a real bash, and manual pages before a real reader.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::{PATIENCE, process};

/// A program with `xnovu` on its path, and nothing of the tester's own settings.
fn program(name: &str, arguments: &[&str], dir: &Path) -> Command {
    let xnovu = Path::new(env!("CARGO_BIN_EXE_xnovu")).parent().unwrap();
    let mut command = Command::new(name);
    command.args(arguments).current_dir(dir).env_clear().kill_on_drop(true);
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", xnovu.display())).env("TERM", "dumb");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end on this input; all it has said.
async fn said(mut command: Command, input: &str) -> String {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let ended = async {
        stdin.write_all(input.as_bytes()).await.unwrap();
        // A terminal that hears of the end too early would lose what was typed.
        let output = child.wait_with_output().await.unwrap();
        drop(stdin);
        output
    };
    let output = tokio::time::timeout(PATIENCE, ended).await.expect("it ends in time");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// What the function that was registered for `xnovu` offers after each of these lines.
const OFFERS: &str = r#"
set -eu
source <(xnovu completions bash)
function=$(complete -p xnovu | sed 's/.*-F \([^ ]*\).*/\1/')
offers() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  "$function" "$1" "${@: -1}" "${@: -2:1}" || true
  echo "$*: ${COMPREPLY[*]:-}"
}
offers xnovu daemon st
offers xnovu daemon start --plu
offers xnovu daemon status --output j
offers xnovu completions z
offers xnovu comp
exit
"#;

#[tokio::test]
async fn bash_completes_verbs_flags_and_values_and_no_hidden_verb() {
    let dir = tempfile::tempdir().unwrap();
    let said = said(program("bash", &["--norc", "-s"], dir.path()), OFFERS).await;
    let want = "xnovu daemon st: start status stop\nxnovu daemon start --plu: --plugins\n\
        xnovu daemon status --output j: json\nxnovu completions z: zsh\nxnovu comp: completions\n";
    assert_eq!(said, want);
}

#[tokio::test]
async fn a_tab_in_a_terminal_completes_the_verb() {
    let dir = tempfile::tempdir().unwrap();
    let terminal = program("script", &["-qec", "bash --norc --noprofile -i", "/dev/null"], dir.path());
    // Without the completion `exa` is no verb, and nothing of the example would be seen.
    let said = said(terminal, "source <(xnovu completions bash)\nxnovu config exa\t\nexit\n").await;
    assert!(said.contains("NEXT_PUBLIC_SUPABASE_URL=https://your-project.supabase.co"), "{said}");
    assert!(!said.contains("unrecognized subcommand"), "{said}");
}

#[tokio::test]
async fn every_manual_page_is_well_formed_and_readable() {
    let dir = tempfile::tempdir().unwrap();
    process::run(&["man", "pages"], dir.path(), &[]).await.succeeded();
    let first = process::run(&["man"], dir.path(), &[]).await.succeeded();
    assert_eq!(first.stdout, std::fs::read_to_string(dir.path().join("pages/xnovu.1")).unwrap());
    let lint = said(program("bash", &["-c", "mandoc -T lint -W warning pages/*.1"], dir.path()), "").await;
    // Pages have no date, so that equal programs make equal pages; the spaces are the library's and do no harm.
    let harmless = ["missing date, using \"\"", "skipping paragraph macro: br"];
    let found: Vec<&str> = lint.lines().filter(|line| !harmless.iter().any(|known| line.contains(known))).collect();
    assert!(found.is_empty(), "{found:?}");
    let read = r"mandoc -T ascii pages/xnovu-daemon-start.1 | sed 's/.\x08//g'";
    let page = said(program("bash", &["-c", read], dir.path()), "").await;
    for part in ["xnovu-daemon-start(1)", "SYNOPSIS", "--enterprises", "EXIT STATUS", "xnovu 0."] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
