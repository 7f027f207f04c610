//! Access tokens of OAuth 2: who made them, for whom, until when, what they let one do; forged ones; and a provider whose keys
//! change, or that is away.

use crate::http::{Answer, Ask};
use crate::kit::{LONG, Server, Site};
use crate::provider::{Provider, Signer, base64, now};
use handover_testkit::process::wait_for;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

const APPS: &str = "apps: { up: { run: 'tr a-z A-Z' }, other: { run: cat } }";

fn header(signer: &Signer, kid: &str) -> Value {
    json!({ "alg": signer.algorithm(), "kid": kid, "typ": "at+jwt" })
}

/// Claims with one of them another.
fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[track_caller]
fn ask(server: &Server, token: &str) -> Answer {
    server.client(token).get("/api/v1/apps")
}

/// Waits until the provider's keys are known.
#[track_caller]
fn taken(server: &Server, token: &str) {
    wait_for(LONG, "a token that is taken", || (ask(server, token).status == 200).then_some(()));
}

#[track_caller]
fn refused(what: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHORIZED".into()), "{what}");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""),
        "{what}: {challenge}"
    );
}

#[test]
fn a_token_does_what_its_scopes_say_and_its_jobs_are_its_own() {
    let key = Signer::p256();
    let provider = Provider::new(vec![key.public("a")], true);
    let more = ", apps_claim: apps, scopes: { read: [jobs.read, all], submit: jobs.write, operate: all }";
    let site = Site::new(APPS, &provider.oauth(more));
    let own = site.key(&[]);
    let server = site.serve();
    let claims = with(&provider.claims(), "apps", json!(["up"]));
    let token = |scope: &str| key.token(&header(&key, "a"), &with(&claims, "scope", json!(scope)));
    let (reads, writes) = (token("openid jobs.read"), token("jobs.write profile"));
    taken(&server, &reads);
    assert_eq!(ask(&server, &own).status, 200, "keys are taken beside it");
    assert_eq!(server.client(&reads).get("/api/v1/deliveries").status, 200);
    let job = |token: &str, app: &str| {
        server.client(token).post("/api/v1/jobs", &json!({ "app": app, "input": "x" }))
    };
    let less = job(&reads, "up");
    assert_eq!((less.status, less.code()), (403, "FORBIDDEN".into()));
    assert_eq!(
        less.header("www-authenticate"),
        Some("Bearer error=\"insufficient_scope\", scope=\"jobs.write\"")
    );
    let made = job(&writes, "up");
    assert_eq!(made.status, 202, "{made:?}");
    assert_eq!(job(&writes, "other").status, 403, "the app is not in the claim");
    let path = format!("/api/v1/jobs/{}", made.id());
    assert_eq!(server.client(&writes).get(&path).status, 200);
    let another =
        key.token(&header(&key, "a"), &with(&with(&claims, "scope", json!("jobs.write")), "sub", json!("x")));
    assert_eq!(server.client(&another).get(&path).status, 404, "the job of another");
    // A client's id may be any, a subject's too.
    let client = with(&without(&claims, "sub"), "scope", json!("jobs.write"));
    let client = key.token(&header(&key, "a"), &client);
    assert_eq!(server.client(&client).get(&path).status, 404, "a client of the subject's name");
    let nothing = key.token(&header(&key, "a"), &with(&claims, "scope", json!("openid")));
    assert_eq!(server.client(&nothing).get("/api/v1/deliveries").status, 403);
    let log = server.stop();
    assert!(log.contains("token:shop") && log.contains("client:shop"), "{log}");
    assert!([&reads, &writes, &nothing].iter().all(|token| !log.contains(token.rsplit('.').next().unwrap())));
}

/// Tokens that are not to be believed, by what is wrong with them.
fn forged(provider: &Provider, rsa: &Signer, ec: &Signer) -> Vec<(&'static str, String)> {
    let claims = provider.claims();
    let good = ec.token(&header(ec, "ec"), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let of = |header: Value, claims: &Value| ec.token(&header, claims);
    let usual = |claims: &Value| ec.token(&header(ec, "ec"), claims);
    let head = |name: &str, value: Value| with(&header(ec, "ec"), name, value);
    // RFC 8725, 2.1: a public key taken for a secret.
    let confused = {
        let signed = format!(
            "{}.{}",
            base64(json!({ "alg": "HS256", "kid": "rsa", "typ": "at+jwt" }).to_string()),
            base64(claims.to_string())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(rsa.public("rsa").to_string().as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", base64(mac.finalize().into_bytes()))
    };
    let bare = |algorithm: &str| {
        let header = json!({ "alg": algorithm, "typ": "at+jwt" }).to_string();
        format!("{}.{}.", base64(header), base64(claims.to_string()))
    };
    let twice = format!("{{\"aud\":\"nobody\",{}", &claims.to_string()[1..]);
    let twice = {
        let (all, _) = good.rsplit_once('.').unwrap();
        format!("{}.{}.{}", all.split('.').next().unwrap(), base64(twice), parts[2])
    };
    vec![
        ("no signature asked for", bare("none")),
        ("none in capital letters", bare("NONE")),
        ("a signature that is empty", format!("{}.{}.", parts[0], parts[1])),
        ("a secret that is the public key", confused),
        ("another's key under the same name", Signer::p256().token(&header(ec, "ec"), &claims)),
        (
            "claims of another token",
            format!(
                "{}.{}.{}",
                parts[0],
                base64(with(&claims, "scope", json!("handover:admin")).to_string()),
                parts[2]
            ),
        ),
        ("a name twice", twice),
        ("another algorithm than the key's", of(head("alg", json!("ES384")), &claims)),
        ("an algorithm of another kind of key", of(head("alg", json!("RS256")), &claims)),
        ("an algorithm that is not known", of(head("alg", json!("ES512")), &claims)),
        ("another issuer", usual(&with(&claims, "iss", json!("https://login.example.com")))),
        ("an issuer with a slash more", usual(&with(&claims, "iss", json!(format!("{}/", provider.issuer))))),
        ("no issuer", usual(&without(&claims, "iss"))),
        ("another audience", usual(&with(&claims, "aud", json!("another")))),
        ("an audience of which ours is a part", usual(&with(&claims, "aud", json!("handover-2")))),
        ("no audience", usual(&without(&claims, "aud"))),
        ("it has ended", usual(&with(&claims, "exp", json!(now() - 3_600)))),
        ("it has no end", usual(&without(&claims, "exp"))),
        ("an end that is a text", usual(&with(&claims, "exp", json!("2099-01-01")))),
        ("it does not hold yet", usual(&with(&claims, "nbf", json!(now() + 3_600)))),
        ("it was made in the future", usual(&with(&claims, "iat", json!(now() + 3_600)))),
        ("a name with blanks before it", usual(&with(&claims, "sub", json!(" shop")))),
        ("a name with blanks behind it", usual(&with(&claims, "sub", json!("shop\u{a0}")))),
        ("a name that is a number", usual(&with(&claims, "sub", json!(7)))),
        ("nobody's", usual(&without(&without(&claims, "sub"), "client_id"))),
        ("a name with a line end", usual(&with(&claims, "sub", json!("a\nb")))),
        ("a name without end", usual(&with(&claims, "sub", json!("x".repeat(1_000))))),
        ("a key that is not known", of(head("kid", json!("other")), &claims)),
        ("a key that is a path", of(head("kid", json!("../../../../dev/null")), &claims)),
        ("a key that is a question", of(head("kid", json!("x' OR '1'='1")), &claims)),
        ("a key that is no text", of(head("kid", json!({ "a": 1 })), &claims)),
        ("a key with a long name", of(head("kid", json!("k".repeat(2_000))), &claims)),
        ("it brings its own key", {
            let own = Signer::p256();
            own.token(&with(&head("jwk", own.public("ec")), "jku", json!("http://127.0.0.1:1/keys")), &claims)
        }),
        ("an extension", of(head("crit", json!(["exp"])), &claims)),
        ("an ID token of a logout", of(head("typ", json!("logout+jwt")), &claims)),
        ("it is large", usual(&with(&claims, "more", json!("x".repeat(10_000))))),
        ("five parts", format!("{good}.a.b")),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("padding", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("not base64", format!("{}.%%.{}", parts[0], parts[2])),
        ("no JSON", format!("{}.{}.{}", base64("x"), parts[1], parts[2])),
        ("a word", "x".to_owned()),
    ]
}

#[test]
fn forged_tokens_are_refused_and_it_is_said_why() {
    let (rsa, ec, ed) = (Signer::rsa(), Signer::p256(), Signer::ed());
    let secret = json!({ "kty": "oct", "kid": "oct", "k": base64("a secret") });
    let provider = Provider::new(vec![secret, rsa.public("rsa"), ec.public("ec"), ed.public("ed")], true);
    let site = Site::new(APPS, &provider.oauth(""));
    let server = site.serve();
    let claims = provider.claims();
    taken(&server, &ec.token(&header(&ec, "ec"), &claims));
    let rsa_by =
        |algorithm: &str| rsa.token(&json!({ "alg": algorithm, "kid": "rsa", "typ": "JWT" }), &claims);
    for good in [
        rsa_by("RS256"),
        rsa_by("RS512"),
        rsa_by("PS256"),
        rsa_by("PS512"),
        ed.token(&header(&ed, "ed"), &claims),
        ec.token(&json!({ "alg": "ES256", "typ": "application/at+jwt" }), &claims),
        ec.token(
            &header(&ec, "ec"),
            &with(&with(&claims, "scope", json!(null)), "scp", json!(["handover:read"])),
        ),
        ec.token(&header(&ec, "ec"), &with(&claims, "exp", json!(now() - 5))),
    ] {
        assert_eq!(ask(&server, &good).status, 200, "{good}");
    }
    for (what, token) in forged(&provider, &rsa, &ec) {
        refused(what, &ask(&server, &token));
    }
    let good = ec.token(&header(&ec, "ec"), &claims);
    let twice = Ask::get("/api/v1/apps").header("Authorization", format!("Bearer {good}"));
    assert_eq!(server.client(&good).ask(twice).status, 400, "two of them");
    let query = server.anyone().get(format!("/api/v1/apps?a={good}"));
    assert_eq!((query.status, query.code()), (400, "KEY_IN_QUERY".into()));
    let header = server.anyone().ask(Ask::get("/api/v1/apps").header("X-API-Key", &good));
    assert_eq!(header.status, 401, "X-API-Key is for keys");
    let log = server.stop();
    assert!(!log.contains(good.rsplit('.').next().unwrap()), "no token is in a log");
}

#[test]
fn keys_change_and_whoever_makes_names_up_has_few_fetches_made() {
    let (old, new) = (Signer::ed(), Signer::p256());
    let provider = Provider::new(vec![old.public("old")], true);
    let site = Site::new(APPS, &format!("auth: tokens, {}", provider.oauth("")));
    let key = site.key(&[]);
    let server = site.serve();
    let (before, after) = (
        old.token(&header(&old, "old"), &provider.claims()),
        new.token(&header(&new, "new"), &provider.claims()),
    );
    taken(&server, &before);
    refused("a key where tokens alone are taken", &ask(&server, &key));
    let nothing = server.anyone().get("/api/v1/apps");
    assert_eq!(nothing.status, 401);
    assert!(nothing.text().contains("token") && !nothing.text().contains("key"), "{}", nothing.text());
    refused("not yet", &ask(&server, &after));
    provider.publish(vec![old.public("old"), new.public("new")]);
    taken(&server, &after);
    assert_eq!(ask(&server, &before).status, 200, "the old one goes on while it is published");
    let (begun, fetched) = (std::time::Instant::now(), provider.fetched());
    for made_up in 0..200 {
        let token = new.token(&header(&new, &format!("made-up-{made_up}")), &provider.claims());
        refused("a name that was made up", &ask(&server, &token));
    }
    let most = 2 + begun.elapsed().as_secs() / 5;
    assert!((provider.fetched() - fetched) as u64 <= most, "{} fetches, {most} at most", provider.fetched());
    provider.publish(vec![new.public("new")]);
    // Whatever is asked for by an unknown name has the keys fetched: the old key is none any more.
    wait_for(LONG, "the end of the old key", || {
        let _ = ask(&server, &new.token(&header(&new, "made-up"), &provider.claims()));
        (ask(&server, &before).status == 401).then_some(())
    });
    assert_eq!(ask(&server, &after).status, 200);
}

#[test]
fn keys_change_for_tokens_that_do_not_name_theirs() {
    let (old, new) = (Signer::ed(), Signer::ed());
    let provider = Provider::new(vec![old.public("a")], true);
    let site = Site::new(APPS, &provider.oauth(""));
    let server = site.serve();
    let unnamed = |signer: &Signer| signer.token(&json!({ "alg": "EdDSA" }), &provider.claims());
    taken(&server, &unnamed(&old));
    provider.publish(vec![new.public("a")]);
    taken(&server, &unnamed(&new));
    refused("the old one", &ask(&server, &unnamed(&old)));
    let (begun, fetched) = (std::time::Instant::now(), provider.fetched());
    for _ in 0..50 {
        refused("another's", &ask(&server, &unnamed(&Signer::ed())));
    }
    let most = 2 + begun.elapsed().as_secs() / 5;
    assert!((provider.fetched() - fetched) as u64 <= most, "{} fetches, {most} at most", provider.fetched());
}

#[test]
fn a_provider_that_is_away_is_waited_for_and_its_keys_serve_on() {
    let key = Signer::ed();
    let provider = Provider::new(vec![key.public("a")], false);
    let site = Site::new(APPS, &provider.oauth(""));
    let own = site.key(&[]);
    let mut server = site.serve();
    let token = |name: &str| key.token(&header(&key, "a"), &with(&provider.claims(), "sub", json!(name)));
    let early = ask(&server, &token("early"));
    assert_eq!((early.status, early.code()), (503, "TOKENS_UNCHECKED".into()));
    assert!(early.header("retry-after").is_some());
    assert_eq!(ask(&server, &own).status, 200, "keys do not need it");
    server.run.says_within(LONG, "cannot fetch the keys of");
    provider.set_up(true);
    taken(&server, &token("first"));
    provider.set_up(false);
    let unknown = key.token(&header(&key, "b"), &provider.claims());
    let told = "those that are known serve for another";
    wait_for(LONG, "a fetch that fails", || {
        refused("a name that was made up", &ask(&server, &unknown));
        server.run.stderr().contains(told).then_some(())
    });
    assert_eq!(ask(&server, &token("second")).status, 200, "one that was never seen");
    assert_eq!(ask(&server, &token("first")).status, 200);
}
