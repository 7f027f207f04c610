//! A provider of access tokens of these tests' own: its keys, its documents, and tokens as it, or who is not it, would make them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Now, in seconds.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// A key that signs.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::from_pkcs8(include_bytes!("testdata/rsa.pk8")).unwrap())
    }

    pub(crate) fn p256() -> Self {
        let (random, how) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(how, key.as_ref(), &random).unwrap())
    }

    pub(crate) fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// The algorithm that it signs by when nothing else is asked for.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// Its public half, as the provider publishes it.
    pub(crate) fn public(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                let PublicKeyComponents { n, e }: PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": base64(n), "e": base64(e) })
            }
            Self::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": base64(x), "y": base64(y) })
            }
            Self::Ed(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(key.public_key()) })
            }
        }
    }

    fn sign(&self, algorithm: &str, bytes: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let how: &dyn signature::RsaEncoding = match algorithm {
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(how, &random, bytes, &mut signed).unwrap();
                signed
            }
            Self::P256(key) => key.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(bytes).as_ref().to_vec(),
        }
    }

    /// A token with this header and these claims, signed as the header says, or as this key does.
    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let algorithm = header["alg"].as_str().unwrap_or_default();
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }
}

struct State {
    keys: Vec<Value>,
    up: bool,
    fetched: usize,
}

/// A provider; it serves until the process ends.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub(crate) fn new(keys: Vec<Value>, up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { keys, up, fetched: 0 }));
        let (shared, named) = (state.clone(), issuer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &named, &shared);
            }
        });
        Self { issuer, state }
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: Vec<Value>) {
        self.state.lock().unwrap().keys = keys;
    }

    /// Answers, or does not.
    pub(crate) fn set_up(&self, up: bool) {
        self.state.lock().unwrap().up = up;
    }

    /// How often the keys were fetched.
    pub(crate) fn fetched(&self) -> usize {
        self.state.lock().unwrap().fetched
    }

    /// What is written of it in a configuration.
    pub(crate) fn oauth(&self, more: &str) -> String {
        format!("oauth: {{ issuer: '{}', audience: handover{more} }}", self.issuer)
    }

    /// The claims of a token that will do.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": ["other", "handover"], "sub": "shop", "client_id": "shop",
            "iat": now(), "exp": now() + 600, "jti": "1", "scope": "openid handover:read handover:submit",
        })
    }
}

fn answer(stream: TcpStream, issuer: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let mut line = String::from("-");
    while !line.trim().is_empty() {
        line.clear();
        if reader.read_line(&mut line).is_err() {
            return;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap();
    if path == "/keys" {
        state.fetched += 1;
    }
    if !state.up {
        return;
    }
    let base = issuer.trim_end_matches("/realm");
    let (status, body) = match path.as_str() {
        "/realm/.well-known/openid-configuration" => {
            ("200 OK", json!({ "issuer": issuer, "jwks_uri": format!("{base}/keys") }))
        }
        "/keys" => ("200 OK", json!({ "keys": state.keys })),
        _ => ("404 Not Found", json!({})),
    };
    let body = body.to_string();
    let _ = write!(
        reader.into_inner(),
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
