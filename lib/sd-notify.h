#ifndef SLUICE_SD_NOTIFY_H
#define SLUICE_SD_NOTIFY_H 1

/* systemd's readiness protocol: one datagram of NAME=VALUE lines to the socket in $NOTIFY_SOCKET (sd_notify(3)).  Nothing happens
 * without that variable. */

/* Never blocks; a state that cannot be delivered is dropped. */
void sd_notify_send(const char *state);

#endif /* lib/sd-notify.h */
