//! The samples, as a CSV file with a head of comments: machine, versions, commands.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::machine;

/// One sample of one quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub repetition: u32,
    pub allocator: String,
    pub job: String,
    /// The part of the job that gave the sample.
    pub cell: String,
    pub contender: String,
    pub sessions: u64,
    pub threads: u64,
    pub quantity: String,
    pub value: f64,
    /// ns, B, ratio or count.
    pub unit: String,
    /// The share of the time in which threads waited for a core that something else had.
    pub waited: f64,
}

/// Where samples are added.
pub struct Sheet {
    pub rows: Vec<Row>,
    file: File,
}

impl Sheet {
    /// Goes on with the file if there is one. Refuses one of another machine or of other versions.
    pub fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let head = machine::head();
        let mut rows = Vec::new();
        if path.exists() {
            if !fs::read_to_string(path)?.starts_with(&head) {
                let path = path.display();
                return Err(format!(
                    "{path} is of another machine or of other versions; name another file"
                )
                .into());
            }
            rows = read(path)?;
        } else {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let columns = "repetition,allocator,job,cell,contender,sessions,threads,quantity,value,unit,waited";
            fs::write(path, format!("{head}{columns}\n"))?;
        }
        let mut file = OpenOptions::new().append(true).open(path)?;
        writeln!(file, "# command: {}", machine::command())?;
        Ok(Self { rows, file })
    }

    pub fn add(&mut self, rows: Vec<Row>) -> Result<(), Box<dyn Error>> {
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(Vec::new());
        for row in &rows {
            writer.serialize(row)?;
        }
        // In one piece, so that an interruption leaves no half of a row.
        self.file.write_all(&writer.into_inner()?)?;
        self.rows.extend(rows);
        Ok(())
    }
}

pub fn read(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut reader = csv::ReaderBuilder::new()
        .comment(Some(b'#'))
        .from_path(path)?;
    Ok(reader.deserialize().collect::<Result<_, _>>()?)
}

/// The comments at the head of the file.
pub fn head(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("# "));
    Ok(lines.map(String::from).collect())
}
