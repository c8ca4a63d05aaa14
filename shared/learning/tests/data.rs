//! Data sets: what is read, skipped, held out and refused.

use rafty_learning::{DataError, DataLayout, DataSet, Format, Task, read_samples};
use std::fs;
use std::io::Write;
use std::path::Path;

/// Images of 2 by 2, three classes.
fn tiny_images() -> Task {
    Task::from_toml(
        r#"
        name = "tiny"
        input = [1, 2, 2]
        classes = 3
        loss = "cross_entropy"
        optimiser = { adam = { lr = 0.01 } }
        data = { format = "idx", divide_by = 255.0 }
        layers = ["flatten", { linear = { out = 3 } }]
        "#,
    )
    .unwrap()
}

/// Two features and the class between them.
fn tiny_table() -> Task {
    let mut task = tiny_images();
    task.input = vec![2];
    task.class_names = ["ant", "bee", "cat"].map(String::from).to_vec();
    task.data = DataLayout { label_column: Some(1), ..DataLayout::of(Format::Csv) };
    task
}

fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(values);
    file
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `count` different images.
fn many(count: u32) -> (Vec<u8>, Vec<u8>) {
    let pixels: Vec<u8> = (0..count).flat_map(|at| at.to_be_bytes()).collect();
    let labels: Vec<u8> = (0..count).map(|at| (at % 3) as u8).collect();
    (idx(&[count, 2, 2], &pixels), idx(&[count], &labels))
}

fn one_line(error: &DataError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

fn refusal(images: &[u8], labels: &[u8]) -> String {
    one_line(&DataSet::from_idx(images, labels, &tiny_images()).expect_err("it must be refused"))
}

#[test]
fn exact_duplicates_are_skipped_and_counted() {
    let images = idx(&[4, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 1, 2, 3, 4]);
    let set = DataSet::from_idx(&images, &idx(&[4], &[0, 1, 0, 2]), &tiny_images()).unwrap();
    assert_eq!((set.len(), set.duplicates()), (3, 1));
    assert_eq!(set.labels(), [0, 1, 2]);
    assert_eq!(set.sample(2), Some(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(set.sample(3), None);
    assert_eq!(set.sample(usize::MAX), None);
}

#[test]
fn an_example_stays_on_its_side_when_others_come() {
    let task = tiny_images();
    let set = |count| {
        let (images, labels) = many(count);
        DataSet::from_idx(&images, &labels, &task).unwrap()
    };
    let (few, more) = (set(500), set(1_000));
    let kept: Vec<usize> = more.holdout().iter().copied().filter(|at| *at < 500).collect();
    assert_eq!(few.holdout(), kept);
    assert!((60..=140).contains(&more.holdout().len()), "{}", more.holdout().len());
    let mut all = [more.training(), more.holdout()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn a_share_written_to_a_folder_reads_back() {
    let (images, labels) = many(9);
    let set = DataSet::from_idx(&packed(&images), &packed(&labels), &tiny_images()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let share = folder.path().join("agent-1");
    set.write_idx_folder(&share, &[4, 2, 99]).unwrap();
    let read = DataSet::open(&share, &tiny_images()).unwrap();
    assert_eq!(read.labels(), [1, 2]);
    assert_eq!((read.sample(0), read.sample(1)), (set.sample(4), set.sample(2)));
    set.write_idx_folder(&share, &[]).unwrap();
    assert!(DataSet::open(&share, &tiny_images()).unwrap().is_empty());
}

#[test]
fn a_folder_without_data_is_an_empty_set_and_a_missing_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(DataSet::open(folder.path(), &tiny_images()).unwrap().len(), 0);
    assert_eq!(DataSet::open(folder.path(), &tiny_table()).unwrap().len(), 0);
    let missing = DataSet::open(&folder.path().join("nowhere"), &tiny_images()).unwrap_err();
    assert!(one_line(&missing).contains("nowhere"));
    fs::write(folder.path().join("images.idx.gz"), packed(&many(2).0)).unwrap();
    let half = DataSet::open(folder.path(), &tiny_images()).unwrap_err();
    assert!(one_line(&half).contains("no labels.idx"));
    fs::write(folder.path().join("labels.idx"), many(2).1).unwrap();
    assert_eq!(DataSet::open(folder.path(), &tiny_images()).unwrap().len(), 2);
}

#[test]
fn broken_images_are_refused_in_one_line() {
    let (images, labels) = many(3);
    assert!(refusal(&images[..images.len() - 1], &labels).contains("11 values follow"));
    assert!(refusal(&images[..9], &labels).contains("within its head"));
    assert!(refusal(b"", &labels).contains("not an IDX file"));
    assert!(refusal(&packed(&images)[..30], &labels).contains("the images cannot be read"));
    assert!(refusal(&idx(&[u32::MAX, 2, 2], &[]), &labels).contains("too large"));
    assert!(
        refusal(&idx(&[9_000_000, u32::MAX, u32::MAX, u32::MAX], &[]), &labels).contains("values follow")
    );
    assert!(
        refusal(&idx(&[3, 2, 1], &[0; 6]), &labels).contains("shape [1, 2, 2], but the images has [1, 2, 1]")
    );
    assert!(refusal(&images, &idx(&[2], &[0, 1])).contains("for 3 images"));
    assert!(refusal(&images, &idx(&[3], &[0, 1, 3])).contains("example 2 has the label `3`"));
    let floats = [0, 0, 0x0d, 1, 0, 0, 0, 0];
    assert!(refusal(&floats, &labels).contains("IDX type 0x0d"));
}

#[test]
fn a_table_is_read_with_headings_names_and_numbers() {
    let table = b"a, kind, b\n1.5, bee, -2\n1e3, 0, 0.5\n1.5, bee, -2\n";
    let set = DataSet::from_csv(table, &tiny_table()).unwrap();
    assert_eq!((set.labels(), set.duplicates()), (&[1, 0][..], 1));
    assert_eq!(set.sample(1), Some(vec![1000.0, 0.5]));
    assert!(DataSet::from_csv(b"", &tiny_table()).unwrap().is_empty());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(set.write_idx_folder(folder.path(), &[0]), Err(DataError::NotBytes));
}

#[test]
fn broken_tables_are_refused_in_one_line() {
    let refusal = |table: &[u8]| one_line(&DataSet::from_csv(table, &tiny_table()).expect_err("refused"));
    assert!(refusal(b"1,bee\n1,bee,2,3\n").contains("line 1 cannot be used: it has 2 columns, but"));
    assert!(refusal(b"1,dog,2\n").contains("label `dog`"));
    assert!(refusal(b"1,1.5,2\n").contains("label `1.5`"));
    assert!(refusal(b"1,-1,2\n").contains("label `-1`"));
    assert!(refusal(b"1,bee,x\n").contains("line 1 cannot be used: column 2: `x`"));
    assert!(refusal(b"1,bee,nan\n").contains("not a number"));
    assert!(refusal(b"1,\xff\xfe,2\n").contains("not text in UTF-8"));
}

#[test]
fn a_bad_row_is_left_out_and_told() {
    let set = DataSet::from_csv(b"1,bee,2\n\n1,bee\n1,dog,2\n3,cat,4", &tiny_table()).unwrap();
    assert_eq!((set.labels(), set.report().refused), (&[1, 2][..], 2));
    let reason = "the table, line 3 cannot be used: it has 2 columns, but the task's files have 3; correct or remove it";
    assert_eq!(set.report().reasons[0], reason);
    assert!(
        set.report().reasons[1]
            .contains("line 4 cannot be used: the label `dog` is none of the task's 3 classes")
    );
}

#[test]
fn one_file_gives_the_examples_to_predict() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> std::path::PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let read = |path: &Path| read_samples(path, &tiny_images());
    let expected = vec![vec![9.0, 8.0, 7.0, 6.0]];
    assert_eq!(read(&file("one.idx.gz", &packed(&idx(&[1, 2, 2], &[9, 8, 7, 6])))), Ok(expected.clone()));
    assert_eq!(read(&file("one.pgm", b"P5 # by hand\n2 2\n255\n\x09\x08\x07\x06")), Ok(expected));
    for bad in [
        &b"P5"[..],
        b"P5 2 2 255\n\x01",
        b"P5 2 2 65535\n\x01\x01\x01\x01",
        b"P5 99999999999999999999 1 255\n",
    ] {
        assert!(read(&file("bad.pgm", bad)).is_err());
    }
    let rows = file("rows.csv", b"a,kind,b\n1,bee,2\n3,4\n");
    assert_eq!(read_samples(&rows, &tiny_table()), Ok(vec![vec![1.0, 2.0], vec![3.0, 4.0]]));
}
