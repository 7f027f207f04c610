//! The provider's keys (RFC 7517, RFC 7518), and a signature held against one of them.

use super::jws::Jws;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;

/// So many keys of a provider are looked at.
const KEYS_MAX: usize = 100;

/// How a token is signed: by algorithms with a public key alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        // RFC 9864 names the curve.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

/// A set of keys, as a provider publishes it.
#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key that signatures are held against.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    kid: Option<String>,
    /// By which algorithm alone, where the provider says so.
    alone: Option<Algorithm>,
    public: Public,
}

#[derive(Debug, PartialEq, Eq)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Public {
    /// What an RSA key may do is for its holder to say; a curve has its one algorithm.
    fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.rsa().is_some(),
            Self::P256(_) => algorithm == Algorithm::Es256,
            Self::P384(_) => algorithm == Algorithm::Es384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }
}

/// The keys of a published set that serve here; those for other ends (encryption, other curves, secrets) are passed over.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Key>, serde_json::Error> {
    let published: Published = serde_json::from_slice(bytes)?;
    let known = published.keys.into_iter().take(KEYS_MAX);
    Ok(known.filter_map(|key| key_of(serde_json::from_value(key).ok()?)).collect())
}

fn key_of(jwk: Jwk) -> Option<Key> {
    let signs = jwk.r#use.as_deref().is_none_or(|r#use| r#use == "sig")
        && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    let alone = match jwk.alg.as_deref() {
        None => None,
        Some(name) => Some(Algorithm::named(name)?),
    };
    let part = |part: Option<&String>| URL_SAFE_NO_PAD.decode(part?).ok();
    let point = |size: usize| {
        let (x, y) = (part(jwk.x.as_ref())?, part(jwk.y.as_ref())?);
        // Uncompressed (SEC 1): 4, and both coordinates.
        (x.len() == size && y.len() == size).then(|| [&[4], &x[..], &y[..]].concat())
    };
    let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", _) => {
            let n = part(jwk.n.as_ref())?;
            let n = n[n.iter().position(|byte| *byte != 0)?..].to_vec();
            (n.len() >= 256).then_some(Public::Rsa { n, e: part(jwk.e.as_ref())? })?
        }
        ("EC", Some("P-256")) => Public::P256(point(32)?),
        ("EC", Some("P-384")) => Public::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Public::Ed25519(part(jwk.x.as_ref()).filter(|x| x.len() == 32)?),
        _ => return None,
    };
    (signs && alone.is_none_or(|alone| public.fits(alone))).then_some(Key { kid: jwk.kid, alone, public })
}

impl Key {
    /// Whether a token may have been signed by it.
    pub(super) fn is_for(&self, jws: &Jws<'_>) -> bool {
        let fits = self.alone.map_or_else(|| self.public.fits(jws.algorithm), |alone| alone == jws.algorithm);
        fits && jws.kid.as_ref().is_none_or(|kid| self.kid.as_ref() == Some(kid))
    }

    /// Whether it has signed a token that [is for it](Self::is_for).
    pub(super) fn has_signed(&self, jws: &Jws<'_>) -> bool {
        let simple = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(jws.signed, &jws.signature).is_ok()
        };
        match &self.public {
            Public::Rsa { n, e } => jws.algorithm.rsa().is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, jws.signed, &jws.signature).is_ok()
            }),
            Public::P256(point) => simple(&signature::ECDSA_P256_SHA256_FIXED, point),
            Public::P384(point) => simple(&signature::ECDSA_P384_SHA384_FIXED, point),
            Public::Ed25519(x) => simple(&signature::ED25519, x),
        }
    }
}
