#ifndef SLUICE_YAML_JSON_H
#define SLUICE_YAML_JSON_H 1

/* YAML as JSON: what Kubernetes manifests need of YAML 1.2, on libyaml.
 *
 * Plain scalars are resolved by the core schema (YAML 1.2.2, section 10.3.2: null, booleans, integers, floats; everything
 * else is a string), quoted ones are strings.  Keys are strings.  Refused, with the line: duplicate keys, keys that are not
 * scalars, merge keys, aliases to a node that holds them, tags other than the core schema's, nesting deeper than
 * YAML_JSON_MAX_DEPTH.  Aliases share the JSON value that they name, so that they cost nothing; the results are therefore to be
 * read, not changed.
 *
 * JSON is YAML, so one parser serves both. */

#include <stddef.h>

#include <jansson.h>
#include <yaml.h>

#include "error.h"

#define YAML_JSON_MAX_DEPTH 100
#define YAML_JSON_MAX_DOCUMENTS 100000

/* Calls 'cb' for each document of the stream ('line' is where it begins, from 1; the tree is borrowed).  An empty document is
 * left out.  Stops at the first failure of the parser or of 'cb'.  'name' stands for the stream in errors. */
typedef int yaml_json_cb(const json_t *, size_t line, void *aux, struct error *);
int yaml_json_parse(const char *name, const void *text, size_t size, yaml_json_cb *cb, void *aux, struct error *);

/* One scalar by the core schema; a new reference, NULL for a tag that is not known. */
json_t *yaml_json_scalar(const yaml_node_t *);

#endif /* lib/yaml-json.h */
