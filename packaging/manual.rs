//! Man pages, shell completions and documents, from the program's own command line and keys,
//! and what the program is made of: `cargo run --example manual -- FOLDER TRIPLE`. A part of
//! packaging, so that the program does not carry what only packages need.
#![allow(clippy::print_stdout)]

mod inventory;
mod links;
mod sections;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use flate2::Compression;
use flate2::write::GzEncoder;
use oneaio::cli::Cli;
use oneaio::config::reference;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: manual FOLDER TRIPLE")?;
    let triple = std::env::args().nth(2).ok_or("usage: manual FOLDER TRIPLE")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("man1"))?;
    fs::create_dir_all(folder.join("man5"))?;
    let mut command = Cli::command();
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "oneaio", folder)?;
    }
    keys_of_bash(&folder.join("oneaio.bash"))?;
    names_of_bash(&folder.join("oneaio.bash"))?;
    // generate_to names the file of bash `oneaio.bash`, of zsh `_oneaio`
    command.build();
    pages(&command, "oneaio", &folder.join("man1"))?;
    compressed(&folder.join("man5/oneaio.conf.5"), reference::man_page().as_bytes())?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = inventory::crates(project, &triple)?;
    fs::write(folder.join("sbom.cdx.json"), inventory::bill(&crates, env!("CARGO_PKG_VERSION"))?)?;
    compressed(&folder.join("licenses.txt"), inventory::licenses(&crates).as_bytes())?;
    documents(project, &folder.join("doc"))
}

/// All documents side by side, as they lie in /usr/share/doc/oneaio, with links that work there.
fn documents(project: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let mut files = vec![project.join("README.md"), project.join("CHANGELOG.md")];
    for entry in fs::read_dir(project.join("packaging/doc"))? {
        files.push(entry?.path());
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let name = file.file_name().ok_or("a document without a name")?;
        fs::write(folder.join(name), links::side_by_side(&fs::read_to_string(file)?))?;
    }
    Ok(())
}

/// Lets bash offer the names of keys after `--set`, where clap only offers files.
fn keys_of_bash(file: &Path) -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = oneaio::config::keys::all().map(|key| format!("{}=", key.name)).collect();
    let offered = format!(
        "--set)\n                    compopt -o nospace\n                    COMPREPLY=($(compgen -W \"{}\" -- \"${{cur}}\"))",
        names.join(" ")
    );
    let files = "--set)\n                    COMPREPLY=($(compgen -f \"${cur}\"))";
    let text = fs::read_to_string(file)?;
    if !text.contains(files) {
        return Err("the completions of bash look otherwise: --set is not found".into());
    }
    fs::write(file, text.replace(files, &offered))?;
    Ok(())
}

/// Lets bash offer the names of hosts and clusters, as OpenNebula's own tools tell them, where clap offers options
/// only. Who completes an option does not wait for that.
fn names_of_bash(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut text = fs::read_to_string(file)?;
    for (command, tool) in [("drain", "onehost"), ("advise", "onecluster"), ("optimize", "onecluster")] {
        let options = format!("oneaio__subcmd__{command})\n            opts=\"");
        if !text.contains(&options) {
            return Err(
                format!("the completions of bash look otherwise: the options of {command} are not found").into()
            );
        }
        let names = format!("{tool} list --csv --no-header --list NAME 2>/dev/null");
        text = text.replace(&options, &format!("{options}$([[ ${{cur}} == -* ]] || {names}) "));
    }
    fs::write(file, text)?;
    Ok(())
}

/// One page for a command and each below it: oneaio-db-prune(1).
fn pages(command: &Command, name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).title(name.to_uppercase());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let below = name.strip_prefix("oneaio").unwrap_or(name).trim_start_matches('-');
    page.extend_from_slice(sections::roff(below).as_bytes());
    compressed(&folder.join(format!("{name}.1")), &page)?;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        pages(below, &format!("{name}-{}", below.get_name()), folder)?;
    }
    Ok(())
}

/// `file`.gz without a date, so that equal content gives equal packages.
fn compressed(file: &Path, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut name = file.as_os_str().to_owned();
    name.push(".gz");
    let mut encoder = GzEncoder::new(fs::File::create(name)?, Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()?.flush()?;
    Ok(())
}
