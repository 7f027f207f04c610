//! Places: Table Schema's `geopoint` and `geojson` (RFC 7946), and TopoJSON.
//!
//! A GeoJSON object is judged by its shape: its type, the members that this type must have, and how deep its
//! coordinates lie. Nesting is bounded by the JSON parser. There is no I/O.

use serde_json::Value;

/// How a geopoint is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum GeoFormat {
    /// `lon, lat`
    Default,
    /// `[lon, lat]`
    Array,
    /// `{"lon": …, "lat": …}`
    Object,
}

/// The longitude and latitude, in degrees, of a cell.
pub(crate) fn geopoint(format: GeoFormat, text: &str) -> Option<(f64, f64)> {
    match format {
        GeoFormat::Default => {
            let (lon, lat) = text.split_once(',')?;
            in_range(lon.trim().parse().ok()?, lat.trim().parse().ok()?)
        }
        GeoFormat::Array | GeoFormat::Object => geopoint_of(format, &serde_json::from_str(text).ok()?),
    }
}

/// The longitude and latitude of a JSON value.
pub(crate) fn geopoint_of(format: GeoFormat, value: &Value) -> Option<(f64, f64)> {
    match (format, value) {
        (GeoFormat::Array, Value::Array(list)) => match list.as_slice() {
            [lon, lat] => in_range(lon.as_f64()?, lat.as_f64()?),
            _ => None,
        },
        (GeoFormat::Object, Value::Object(map)) if map.len() == 2 => {
            in_range(map.get("lon")?.as_f64()?, map.get("lat")?.as_f64()?)
        }
        _ => None,
    }
}

fn in_range(lon: f64, lat: f64) -> Option<(f64, f64)> {
    ((-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat)).then_some((lon, lat))
}

/// Whether it is a GeoJSON object (RFC 7946, section 3).
pub(crate) fn is_geojson(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    let bbox = object.get("bbox").is_none_or(|bbox| numbers(bbox, 4));
    let list = |key: &str, fine: &dyn Fn(&Value) -> bool| {
        object.get(key).and_then(Value::as_array).is_some_and(|list| list.iter().all(fine))
    };
    bbox && match object.get("type").and_then(Value::as_str) {
        Some("FeatureCollection") => list("features", &is_feature),
        Some("Feature") => is_feature(value),
        _ => is_geometry(value),
    }
}

fn is_feature(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    let id = object.get("id").is_none_or(|id| id.is_string() || id.is_number());
    let properties = object.get("properties").is_some_and(|it| it.is_object() || it.is_null());
    let geometry = object.get("geometry").is_some_and(|it| it.is_null() || is_geometry(it));
    object.get("type").and_then(Value::as_str) == Some("Feature") && id && properties && geometry
}

fn is_geometry(value: &Value) -> bool {
    let Some(kind) = value.get("type").and_then(Value::as_str) else { return false };
    if kind == "GeometryCollection" {
        let members = value.get("geometries").and_then(Value::as_array);
        return members.is_some_and(|list| list.iter().all(is_geometry));
    }
    let Some(places) = value.get("coordinates") else { return false };
    match kind {
        "Point" => numbers(places, 2),
        "MultiPoint" => lists(places, 0, &|it| numbers(it, 2)),
        "LineString" => lists(places, 2, &|it| numbers(it, 2)),
        "MultiLineString" => lists(places, 0, &|it| lists(it, 2, &|it| numbers(it, 2))),
        "Polygon" => lists(places, 0, &is_ring),
        "MultiPolygon" => lists(places, 0, &|it| lists(it, 0, &is_ring)),
        _ => false,
    }
}

/// A closed ring of at least four places.
fn is_ring(value: &Value) -> bool {
    lists(value, 4, &|it| numbers(it, 2))
}

fn lists(value: &Value, least: usize, fine: &dyn Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|list| list.len() >= least && list.iter().all(fine))
}

fn numbers(value: &Value, least: usize) -> bool {
    lists(value, least, &Value::is_number)
}

/// Whether it is a TopoJSON topology: `arcs` of places and named geometries that refer to them by number.
pub(crate) fn is_topojson(value: &Value) -> bool {
    let arcs =
        value.get("arcs").is_some_and(|arcs| lists(arcs, 0, &|arc| lists(arc, 2, &|it| numbers(it, 2))));
    let objects = value.get("objects").and_then(Value::as_object);
    value.get("type").and_then(Value::as_str) == Some("Topology")
        && arcs
        && objects.is_some_and(|objects| objects.values().all(is_topology_member))
}

fn is_topology_member(value: &Value) -> bool {
    let whole = |it: &Value| it.is_i64();
    let arcs = |depth_fine: &dyn Fn(&Value) -> bool| {
        value.get("arcs").is_some_and(|arcs| lists(arcs, 0, depth_fine))
    };
    let places = |fine: &dyn Fn(&Value) -> bool| value.get("coordinates").is_some_and(fine);
    match value.get("type") {
        None | Some(Value::Null) => true,
        Some(kind) => match kind.as_str() {
            Some("GeometryCollection") => {
                value.get("geometries").is_some_and(|list| lists(list, 0, &is_topology_member))
            }
            Some("Point") => places(&|it| numbers(it, 2)),
            Some("MultiPoint") => places(&|it| lists(it, 0, &|it| numbers(it, 2))),
            Some("LineString") => arcs(&whole),
            Some("MultiLineString" | "Polygon") => arcs(&|it| lists(it, 0, &whole)),
            Some("MultiPolygon") => arcs(&|it| lists(it, 0, &|it| lists(it, 0, &whole))),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn geopoints() {
        assert_eq!(geopoint(GeoFormat::Default, "90.50, 45.50"), Some((90.5, 45.5)));
        assert_eq!(geopoint(GeoFormat::Array, "[90.5, 45.5]"), Some((90.5, 45.5)));
        assert_eq!(geopoint(GeoFormat::Object, r#"{"lon": 90.5, "lat": 45.5}"#), Some((90.5, 45.5)));
        for (format, text) in [
            (GeoFormat::Default, "181,0"),
            (GeoFormat::Default, "0,91"),
            (GeoFormat::Default, "1"),
            (GeoFormat::Default, "NaN,1"),
            (GeoFormat::Array, "[1]"),
            (GeoFormat::Array, "1,2"),
            (GeoFormat::Object, r#"{"lon": 1}"#),
        ] {
            assert_eq!(geopoint(format, text), None, "{text}");
        }
    }

    #[test]
    fn geojson_and_topojson_by_their_shape() {
        let point = json!({ "type": "Point", "coordinates": [1, 2] });
        let feature = json!({ "type": "Feature", "geometry": point, "properties": null });
        for good in [
            point.clone(),
            feature.clone(),
            json!({ "type": "FeatureCollection", "features": [feature] }),
            json!({ "type": "GeometryCollection", "geometries": [point] }),
            json!({ "type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]] }),
            json!({ "type": "Feature", "geometry": null, "properties": {}, "id": 5 }),
        ] {
            assert!(is_geojson(&good), "{good}");
        }
        for bad in [
            json!([]),
            json!({}),
            json!({ "type": "Circle", "coordinates": [1, 2] }),
            json!({ "type": "Point", "coordinates": [1] }),
            json!({ "type": "Point", "coordinates": ["1", "2"] }),
            json!({ "type": "LineString", "coordinates": [[1, 2]] }),
            json!({ "type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]] }),
            json!({ "type": "Feature", "geometry": point }),
            json!({ "type": "FeatureCollection", "features": [point] }),
        ] {
            assert!(!is_geojson(&bad), "{bad}");
        }
        let topology = json!({ "type": "Topology", "arcs": [[[0, 0], [1, 1]]],
            "objects": { "line": { "type": "LineString", "arcs": [0] } } });
        assert!(is_topojson(&topology) && !is_geojson(&topology));
        assert!(!is_topojson(&json!({ "type": "Topology", "objects": {} })));
        assert!(!is_topojson(
            &json!({ "type": "Topology", "arcs": [], "objects": { "a": { "type": "LineString" } } })
        ));
    }
}
