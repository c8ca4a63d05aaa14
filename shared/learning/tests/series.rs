//! Time series: which windows there are, what class they have, and that no row is on both sides of the holdout.

use proptest::prelude::*;
use rafty_learning::{DataSet, Task, Window, read_samples};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Two channels and the class behind them.
fn task(length: usize, overlap: usize, holdout_percent: u32) -> Task {
    let task = Task::from_toml(&format!(
        r#"
        name = "moves"
        input = [2, {length}]
        classes = 3
        class_names = ["rest", "walk", "run"]
        holdout_percent = {holdout_percent}
        loss = "cross_entropy"
        optimiser = {{ adam = {{ lr = 0.01 }} }}
        data = {{ format = "csv", label_column = 2, window = {{ length = {length}, overlap = {overlap} }} }}
        layers = [{{ gru = {{ hidden = 4 }} }}, {{ linear = {{ out = 3 }} }}]
        "#
    ));
    task.unwrap()
}

fn by_folder(length: usize, overlap: usize) -> Task {
    let mut task = task(length, overlap, 0);
    task.data.label_column = None;
    task.validate().unwrap();
    task
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

/// Steps from `first` on: the two channels of a step are its number, and its number below 0.
fn steps(first: usize, count: usize) -> String {
    (first..first + count).map(|step| format!("{step},-{step},walk\n")).collect()
}

#[test]
fn a_window_is_turned_and_has_the_class_of_most_of_its_rows() {
    let rows = "x,y,move\n1,-1,rest\n2,-2,run\n3,-3,run\n4,-4,rest\n5,-5,walk\n6,-6,walk\n7,-7,0\n8,-8,2\n";
    let set = DataSet::from_csv(rows.as_bytes(), &task(4, 2, 0)).unwrap();
    assert_eq!(set.shape(), [2, 4]);
    assert_eq!(set.sample(0), Some(vec![1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]));
    assert_eq!(set.sample(1).unwrap()[..4], [3.0, 4.0, 5.0, 6.0]);
    assert_eq!(set.sample(3), None);
    // Two of rest and two of run are a tie: the smaller class. Then two of walk, one of run, one of rest.
    assert_eq!(set.labels(), [0, 1, 1]);
}

#[test]
fn windows_go_over_no_file_and_no_refused_row() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.csv", &steps(0, 7));
    write(folder.path(), "b.csv", &format!("{}x,1,walk\n{}", steps(100, 5), steps(200, 4)));
    write(folder.path(), "c.csv", &steps(300, 3));
    write(folder.path(), "d.csv", "1,2,swim\n");
    write(folder.path(), "d.txt", "not data");
    let set = DataSet::open(folder.path(), &task(4, 3, 0)).unwrap();
    let firsts: Vec<f32> = (0..set.len()).map(|at| set.sample(at).unwrap()[0]).collect();
    assert_eq!(firsts, [0.0, 1.0, 2.0, 3.0, 100.0, 101.0, 200.0]);
    let report = set.report();
    assert_eq!((report.files, report.examples, report.refused, report.short), (4, 7, 2, 1));
    let reason = "b.csv, line 6 cannot be used: column 0: `x` is not a number; correct or remove it";
    assert!(report.reasons[0].ends_with(reason), "{:?}", report.reasons);
}

#[test]
fn a_whole_file_may_have_the_class_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |from: usize| (from..from + 4).map(|step| format!("{step},0\n")).collect::<String>();
    write(folder.path(), "walk/monday.csv", &rows(0));
    write(folder.path(), "run/monday.csv", &rows(10));
    write(folder.path(), "2/monday.csv", &rows(20));
    write(folder.path(), "swim/monday.csv", &rows(30));
    let set = DataSet::open(folder.path(), &by_folder(4, 0)).unwrap();
    assert_eq!(set.labels(), [2, 2, 1]);
    assert_eq!((set.report().files, set.report().refused), (3, 1));
    assert!(set.report().reasons[0].contains("the folder `swim`, which is not named after"));
    let alone = DataSet::open(&folder.path().join("walk/monday.csv"), &by_folder(4, 0)).unwrap();
    assert_eq!(alone.labels(), [1]);
    let error = DataSet::open(&folder.path().join("swim"), &by_folder(4, 0)).unwrap_err().to_string();
    assert!(error.contains("the folder `swim`"), "{error}");
}

#[test]
fn the_windows_of_one_file_can_be_predicted() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "new.csv", "1,2,?\n3,4,?\n5,6,?\n7,8,?\n");
    let samples = read_samples(&folder.path().join("new.csv"), &task(2, 1, 0)).unwrap();
    assert_eq!(samples, [[1.0, 3.0, 2.0, 4.0], [3.0, 5.0, 4.0, 6.0], [5.0, 7.0, 6.0, 8.0]]);
}

/// The first step of each window, by its side; where rows are numbered, that says which rows it has.
fn sides(set: &DataSet) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let first = |at: &usize| {
        let sample = set.sample(*at).unwrap();
        let length = set.shape()[1];
        assert!((0..length).all(|step| sample[step] == sample[0] + step as f32), "a window without gaps");
        assert!((0..length).all(|step| sample[length + step] == -sample[step]), "channels keep together");
        sample[0] as usize
    };
    (set.training().iter().map(first).collect(), set.holdout().iter().map(first).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_is_lost_and_none_leaks(
        lengths in prop::collection::vec(0usize..400, 1..4),
        length in 1usize..9,
        overlap in 0usize..9,
        holdout in prop::sample::select(vec![0u32, 10, 50, 90]),
    ) {
        let window = Window { length, overlap: overlap % length, normalise: Default::default() };
        let folder = tempfile::tempdir().unwrap();
        let mut possible = BTreeSet::new();
        for (file, count) in lengths.iter().enumerate() {
            let first = file * 1_000;
            write(folder.path(), &format!("{file}.csv"), &steps(first, *count));
            let starts = (0..*count).step_by(window.step()).filter(|start| start + length <= *count);
            possible.extend(starts.map(|start| first + start));
        }
        let set = DataSet::open(folder.path(), &task(length, window.overlap, holdout)).unwrap();
        let (training, holdout_starts) = sides(&set);
        let both: BTreeSet<usize> = training.union(&holdout_starts).copied().collect();
        prop_assert_eq!(both.len(), set.len(), "each window once");
        prop_assert!(both.is_subset(&possible));
        prop_assert_eq!(set.len() + set.report().straddling, possible.len());
        let share_rows = |a: usize, b: usize| a.abs_diff(b) < length;
        for start in &holdout_starts {
            prop_assert!(!training.iter().any(|other| share_rows(*start, *other)), "a row is on both sides");
        }
        for lost in possible.difference(&both) {
            prop_assert!(both.iter().any(|other| other < lost && share_rows(*other, *lost)), "lost without need");
        }
        prop_assert!(10 * set.report().straddling <= 2 * possible.len());
        if holdout == 0 {
            prop_assert_eq!((set.report().straddling, holdout_starts.len()), (0, 0));
        }
    }

    #[test]
    fn a_window_keeps_its_side_when_the_series_grows(
        count in 1usize..500, more in 0usize..200, length in 1usize..9, overlap in 0usize..9,
    ) {
        let task = task(length, overlap % length, 50);
        let before = DataSet::from_csv(steps(0, count).as_bytes(), &task).unwrap();
        let after = DataSet::from_csv(steps(0, count + more).as_bytes(), &task).unwrap();
        let kept = |positions: &[usize]| -> Vec<usize> {
            positions.iter().copied().filter(|at| *at < before.len()).collect()
        };
        prop_assert_eq!(before.training(), kept(after.training()));
        prop_assert_eq!(before.holdout(), kept(after.holdout()));
        for at in 0..before.len() {
            prop_assert_eq!(before.sample(at), after.sample(at));
        }
    }
}

#[test]
fn about_as_much_is_held_out_as_was_asked_for() {
    let set = DataSet::from_csv(steps(0, 50_000).as_bytes(), &task(10, 5, 10)).unwrap();
    let percent = 100 * set.holdout().len() / set.len();
    assert!((6..=14).contains(&percent), "{percent} %");
    assert!(100 * set.report().straddling < 3 * set.len(), "{}", set.report());
}
