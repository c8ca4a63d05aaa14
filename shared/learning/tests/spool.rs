//! A spool: files that come and grow while the device learns.

use proptest::prelude::*;
use rafty_learning::{DataSet, Task};
use std::fs;
use std::io::Write;

/// A time stamp, two features and the class.
fn task(format: &str) -> Task {
    let task = Task::from_toml(&format!(
        r#"
        name = "spool"
        input = [2]
        classes = 2
        class_names = ["dry", "wet"]
        holdout_percent = 30
        loss = "cross_entropy"
        optimiser = {{ adam = {{ lr = 0.01 }} }}
        data = {{ format = "{format}", spool = true, ignore_columns = [0], label_column = 3 }}
        layers = [{{ linear = {{ out = 2 }} }}]
        "#
    ));
    task.unwrap()
}

/// Two-dimensional, of f32.
fn npy(rows: &[[f32; 4]]) -> Vec<u8> {
    let head = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 4), }}", rows.len());
    let head = format!("{head:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((head.len() as u16).to_le_bytes());
    file.extend(head.as_bytes());
    file.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    file
}

fn everything(set: &DataSet) -> Vec<(Vec<f32>, u32, bool)> {
    let held = |at: &usize| set.holdout().contains(at);
    (0..set.len()).map(|at| (set.sample(at).unwrap(), set.labels()[at], held(&at))).collect()
}

#[test]
fn what_comes_is_read_and_what_is_not_finished_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = || DataSet::open(folder.path(), &task("csv")).unwrap();
    assert_eq!((open().len(), open().report().files), (0, 0));
    fs::write(path("1.csv"), "time,a,b,sky\n2026-11-23T07:00,1,2,wet\n2026-11-23T07:01,3,4,dry\n2026,5")
        .unwrap();
    let set = open();
    assert_eq!(set.labels(), [1, 0]);
    assert_eq!((set.sample(1), set.report().refused), (Some(vec![3.0, 4.0]), 0));
    let mut file = fs::OpenOptions::new().append(true).open(path("1.csv")).unwrap();
    file.write_all(b"-11-23,6\n").unwrap();
    fs::write(path("2.csv"), "now,5,6,dry\nnow,7,8,wet\n").unwrap();
    for name in ["3.csv.part", ".4.csv", "5.csv.tmp", "6.txt"] {
        fs::write(path(name), "now,9,9,wet\n").unwrap();
    }
    fs::create_dir(path("7.csv")).unwrap();
    let set = open();
    assert_eq!(
        everything(&set).iter().map(|(values, ..)| values[0]).collect::<Vec<_>>(),
        [1.0, 3.0, 5.0, 7.0]
    );
    let report = set.report();
    assert_eq!((report.files, report.examples, report.duplicates, report.refused), (2, 4, 0, 1));
    assert!(report.reasons[0].contains("1.csv, line 4 cannot be used: it has 3 columns"), "{report}");
}

#[test]
fn bad_rows_are_counted_and_the_first_are_told() {
    let rows: String = (0..20).map(|row| format!("now,{row},x,dry\n")).collect();
    let set =
        DataSet::from_csv(format!("{rows}now,1,2,dry\ntime,a,b,sky\nnow,1,2,dry\n").as_bytes(), &task("csv"))
            .unwrap();
    let report = set.report();
    assert_eq!((report.examples, report.duplicates, report.refused, report.reasons.len()), (1, 1, 21, 5));
    let text = report.to_string();
    assert!(
        text.starts_with("1 examples in 1 files, 1 duplicates left out, 21 rows or files refused\n"),
        "{text}"
    );
    assert!(text.ends_with("\n  and 16 more"), "{text}");
    let nothing = DataSet::from_csv(rows.as_bytes(), &task("csv")).unwrap();
    assert_eq!((nothing.len(), nothing.report().refused), (0, 20));
    let mut once = task("csv");
    once.data.spool = false;
    let error = DataSet::from_csv(rows.as_bytes(), &once).unwrap_err().to_string();
    assert!(error.contains("line 1 cannot be used: column 2: `x`"), "{error}");
}

#[test]
fn arrays_are_spooled_too() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        npy(&[[0.0, 1.0, 2.0, 1.0], [0.0, 3.0, 4.0, 7.0], [0.0, 5.0, f32::NAN, 0.0], [9.0, 5.0, 6.0, 0.0]]);
    fs::write(folder.path().join("a.npy"), &whole).unwrap();
    fs::write(folder.path().join("b.npy"), &whole[..whole.len() - 1]).unwrap();
    fs::write(folder.path().join("c.npy"), b"\x93NUM").unwrap();
    fs::write(folder.path().join("d.npy"), b"no array at all").unwrap();
    let set = DataSet::open(folder.path(), &task("npy")).unwrap();
    assert_eq!(set.labels(), [1, 0]);
    assert_eq!(set.sample(1), Some(vec![5.0, 6.0]));
    let reasons = set.report().reasons.join("\n");
    assert_eq!(set.report().refused, 3, "{reasons}");
    assert!(reasons.contains("a.npy, row [1] cannot be used: the label `7` is none of"), "{reasons}");
    assert!(reasons.contains("a.npy, row [2] cannot be used: column 2: `NaN` is not a number"), "{reasons}");
    assert!(reasons.contains("d.npy cannot be read: it is not an NPY file"), "{reasons}");
}

#[test]
fn a_stamp_says_whether_anything_changed() {
    let folder = tempfile::tempdir().unwrap();
    let stamp = || DataSet::stamp(folder.path()).unwrap();
    let empty = stamp();
    fs::write(folder.path().join("a.csv.part"), "1").unwrap();
    assert_eq!(stamp(), empty);
    fs::write(folder.path().join("a.csv"), "1").unwrap();
    let one = stamp();
    assert_ne!(one, empty);
    assert_eq!(stamp(), one);
    let file = fs::OpenOptions::new().append(true).open(folder.path().join("a.csv")).unwrap();
    (&file).write_all(b"2").unwrap();
    let longer = stamp();
    assert_ne!(longer, one);
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_ne!(stamp(), longer, "rewritten to the same length");
    fs::create_dir(folder.path().join("wet")).unwrap();
    fs::write(folder.path().join("wet/b.csv"), "").unwrap();
    let deeper = stamp();
    fs::rename(folder.path().join("wet/b.csv"), folder.path().join("wet/c.csv")).unwrap();
    assert_ne!(stamp(), deeper);
    assert!(DataSet::stamp(&folder.path().join("nowhere")).is_err());
}

/// Rows good and bad, as a sensor, its restart and a flipped bit would write them.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let good = (0u8..4, -3i8..3, any::<bool>())
        .prop_map(|(a, b, wet)| format!("now,{a},{b},{}", if wet { "wet" } else { "dry" }).into_bytes());
    prop_oneof![
        8 => good,
        1 => Just(b"time,a,b,sky".to_vec()),
        1 => Just(b"\"now, or so\",\"1\",2,\"wet\"\r".to_vec()),
        1 => Just(b"\"now,1,2,wet".to_vec()),
        1 => Just(b"now,1,\xff,dry".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is there after a cut of power, or in the middle of a write, is the begin of what there would be.
    #[test]
    fn any_prefix_of_a_file_gives_a_prefix_of_the_set(lines in prop::collection::vec(line(), 0..40)) {
        let bytes = lines.join(&b'\n');
        let whole = everything(&DataSet::from_csv(&bytes, &task("csv")).unwrap());
        for cut in 0..bytes.len() {
            if bytes.starts_with(&[0x1f, 0x8b]) {
                break;
            }
            let part = everything(&DataSet::from_csv(&bytes[..cut], &task("csv")).unwrap());
            prop_assert!(whole.starts_with(&part), "cut at {cut}: {part:?} of {whole:?}");
        }
    }

    #[test]
    fn any_prefix_of_an_array_gives_a_prefix_of_the_set(cut: prop::sample::Index, at: prop::sample::Index, byte: u8) {
        let mut whole = npy(&[[0.0, 1.0, 2.0, 1.0], [0.0, 3.0, 4.0, 0.0]]);
        let folder = tempfile::tempdir().unwrap();
        let open = |bytes: &[u8]| {
            fs::write(folder.path().join("a.npy"), bytes).unwrap();
            everything(&DataSet::open(folder.path(), &task("npy")).unwrap())
        };
        let all = open(&whole);
        prop_assert_eq!(all.len(), 2);
        prop_assert!(all.starts_with(&open(&whole[..cut.index(whole.len())])));
        let at = at.index(whole.len());
        whole[at] = byte;
        prop_assert!(open(&whole).len() <= 2, "whatever stands there, nothing is made up");
    }
}
