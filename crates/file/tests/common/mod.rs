//! What the integration tests of this crate share: a data directory, drafts and requests made in one line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code, unreachable_pub)]

use handover_core::{HolderId, Manifest};
use handover_file::publish::PublishRequest;
use handover_file::{DataDir, Draft, Written};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

pub struct Place {
    pub dir: tempfile::TempDir,
    pub data: DataDir,
    pub holder: HolderId,
}

pub fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(&dir.path().join("data")).unwrap();
    Place { dir, data, holder: HolderId::new(7) }
}

impl Place {
    pub fn written(&self, text: &str) -> Written {
        written(self.data.draft(&self.holder, "csv").unwrap(), text)
    }

    pub fn folder(&self) -> PathBuf {
        self.data.folder("imports", jiff::civil::date(2025, 11, 24))
    }

    pub fn request(&self, sequence: u32, text: &str) -> PublishRequest {
        request(self.written(text), &self.folder(), sequence)
    }

    pub fn path(&self, sequence: u32) -> PathBuf {
        self.folder().join(format!("{}.csv", stem(sequence)))
    }

    pub fn manifest_path(&self, sequence: u32) -> PathBuf {
        self.folder().join(format!("{}.meta.json", stem(sequence)))
    }

    /// Every file outside `.handover`, with what it holds.
    pub fn in_sight(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        walk(self.data.root(), &mut found, self.data.root());
        found
    }

    pub fn temporaries(&self) -> usize {
        fs::read_dir(self.data.tmp_dir()).unwrap().count()
    }

    /// The file of this sequence is there, whole, and holds this.
    pub fn assert_published(&self, sequence: u32, text: &str) {
        let manifest = handover_file::read::read_manifest(&self.manifest_path(sequence)).unwrap();
        handover_file::read::verify(&self.path(sequence), &manifest).unwrap();
        assert_eq!(fs::read_to_string(self.path(sequence)).unwrap(), text);
    }
}

fn walk(dir: &Path, found: &mut BTreeMap<String, Vec<u8>>, root: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".handover") {
            continue;
        } else if path.is_dir() {
            walk(&path, found, root);
        } else {
            found.insert(
                path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
                fs::read(&path).unwrap(),
            );
        }
    }
}

pub fn stem(sequence: u32) -> String {
    format!("file-importer_sales_2025-11-24_{sequence:03}")
}

pub fn written(mut draft: Draft, text: &str) -> Written {
    draft.write_all(text.as_bytes()).unwrap();
    draft.finish().unwrap()
}

pub fn request(written: Written, folder: &Path, sequence: u32) -> PublishRequest {
    let name = format!("{}.{}", stem(sequence), written.ext());
    let manifest = manifest(&written, &name, sequence);
    PublishRequest::new(written, folder.to_owned(), name, stem(sequence), manifest)
}

pub fn manifest(written: &Written, name: &str, delivery: u32) -> Manifest {
    let text = format!(
        r#"{{"filename":"{name}","created_at":"2025-11-24T10:30:00Z","created_by":"file-importer","file_size":{},
        "checksum":"{}","schema_version":"v2.0","delivery_id":"{delivery}","ledger":"l1"}}"#,
        written.file_size, written.checksum
    );
    let mut manifest = Manifest::parse(text.as_bytes()).unwrap();
    manifest.row_count = written.row_count;
    manifest
}
