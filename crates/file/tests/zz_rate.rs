#![allow(clippy::unwrap_used)]
mod common;
#[test]
fn rate() {
    for group in [1usize, 2, 8, 64] {
        let dir = tempfile::tempdir_in(std::env::var("RATE_DIR").unwrap_or("/tmp".into())).unwrap();
        let data = handover_file::DataDir::open(&dir.path().join("data")).unwrap();
        let p = common::Place { dir, data, holder: handover_core::HolderId::new(7) };
        let publisher = handover_file::Publisher::start().unwrap();
        let start = std::time::Instant::now();
        let text = "0123456789abcde\n".repeat(64);
        let (s, r) = std::sync::mpsc::channel();
        let mut out = 0;
        for n in 1..=2000u32 {
            let s = s.clone();
            publisher.submit(p.request(n, &text), move |o| { o.unwrap(); s.send(()).unwrap(); });
            out += 1;
            if out >= group { r.recv().unwrap(); out -= 1; }
        }
        while out > 0 { r.recv().unwrap(); out -= 1; }
        eprintln!("in flight {group}: {:.0}/s", 2000.0 / start.elapsed().as_secs_f64());
    }
}
