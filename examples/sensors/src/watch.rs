//! What the watches recorded: watch.csv.gz, see LICENSE-seglearn and convert.py.

use crate::Outcome;
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;

const PACKED: &[u8] = include_bytes!("../watch.csv.gz");
/// Longest text that is unpacked.
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// Everybody.
pub(crate) const SUBJECTS: std::ops::RangeInclusive<u32> = 1..=10;

/// The rows of one person doing one exercise with one arm, as CSV: six channels in thousandths, and the exercise.
#[derive(Default)]
pub(crate) struct Recording {
    rows: String,
}

/// By person, exercise and side.
pub(crate) type Recordings = BTreeMap<(u32, String, String), Recording>;

pub(crate) fn recordings() -> Outcome<Recordings> {
    let mut table = String::new();
    GzDecoder::new(PACKED).take(MAX_LEN).read_to_string(&mut table)?;
    let mut recordings = Recordings::new();
    for row in csv::Reader::from_reader(table.as_bytes()).records() {
        let row = row?;
        let (subject, side, exercise) = (row[0].parse()?, row[1].to_string(), row[2].to_string());
        let rows = &mut recordings.entry((subject, exercise.clone(), side)).or_default().rows;
        row.iter().skip(3).try_for_each(|channel| write!(rows, "{channel},"))?;
        writeln!(rows, "{exercise}")?;
    }
    Ok(recordings)
}

/// Writes what one person did into a folder, a file for each exercise and arm.
pub(crate) fn write(recordings: &Recordings, subject: u32, folder: &Path) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    for ((of, exercise, side), recording) in recordings {
        if *of == subject {
            fs::write(folder.join(format!("{subject:02}-{exercise}-{side}.csv")), &recording.rows)?;
        }
    }
    Ok(())
}
