# The CNI plugin: static, only libsluice-base.
