#ifndef SLUICE_STATUS_TEXT_H
#define SLUICE_STATUS_TEXT_H 1

/* The answers of status.h and audit.h as text for people. */

#include <jansson.h>

struct ds;

void status_format_status(const json_t *, struct ds *);
void status_format_pods(const json_t *, struct ds *);
void status_format_nodes(const json_t *, struct ds *);
void status_format_domains(const json_t *, struct ds *);
void status_format_ipam(const json_t *, struct ds *);
void status_format_check(const json_t *, struct ds *);

#endif /* controller/status-text.h */
