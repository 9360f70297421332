/* Counts copies between the processor's memory and the GPU's, and kernels, through CUPTI. */
#include <cupti.h>
#include <stdlib.h>

static unsigned long long bytes_to, bytes_from, copies_to, copies_from, kernels;

static void CUPTIAPI give(uint8_t **buffer, size_t *size, size_t *most) {
  *size = 1 << 22;
  *buffer = aligned_alloc(8, *size);
  *most = 0;
}

static void CUPTIAPI take(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                          size_t valid) {
  CUpti_Activity *record = NULL;
  while (valid && cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
    if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) kernels++;
    if (record->kind != CUPTI_ACTIVITY_KIND_MEMCPY) continue;
    CUpti_ActivityMemcpy6 *copy = (CUpti_ActivityMemcpy6 *)record;
    if (copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD) {
      copies_to++;
      bytes_to += copy->bytes;
    }
    if (copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH) {
      copies_from++;
      bytes_from += copy->bytes;
    }
  }
  free(buffer);
}

int begin(void) {
  int status = cuptiActivityRegisterCallbacks(give, take);
  if (!status) status = cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
  if (!status) status = cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  bytes_to = bytes_from = copies_to = copies_from = kernels = 0;
  return status;
}

int end(unsigned long long *found) {
  int status = cuptiActivityFlushAll(1);
  cuptiActivityDisable(CUPTI_ACTIVITY_KIND_MEMCPY);
  cuptiActivityDisable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
  found[0] = copies_to;
  found[1] = bytes_to;
  found[2] = copies_from;
  found[3] = bytes_from;
  found[4] = kernels;
  return status;
}
